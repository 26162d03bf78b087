<?php
require 'libphp-phpmailer/autoload.php';
$mail = new PHPMailer\PHPMailer\PHPMailer(true);
$mail->isSMTP();
$mail->Host = getenv('SERVER');
$mail->Port = (int) getenv('PORT');
$mail->SMTPAutoTLS = $mail->SMTPAuth = (bool) getenv('WHO');
$mail->SMTPOptions = ['ssl' => ['verify_peer' => false, 'verify_peer_name' => false]];
$mail->Username = getenv('WHO');
$mail->Password = 'secret';
$mail->CharSet = 'utf-8';
$mail->setFrom(getenv('FROM'), 'Jürgen Grün');
$mail->addAddress(getenv('TO'));
if (getenv('CC')) {
    $mail->addCC(getenv('CC'));
    $mail->addBCC(getenv('BCC'));
}
if (getenv('SIZE')) {
    $mail->addStringAttachment(str_repeat('0123456789abcdef', (int) getenv('SIZE') / 16), 'Grün.bin');
}
$mail->Subject = 'Grüße aus Köln';
$mail->isHTML();
$mail->Body = '<p>Übung macht den Meister.</p>';
$mail->AltBody = 'Übung macht den Meister.';
$mail->send();
