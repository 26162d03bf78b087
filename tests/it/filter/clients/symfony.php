<?php
require 'Symfony/Component/Mailer/autoload.php';
use Symfony\Component\Mailer\{Mailer, Transport};
use Symfony\Component\Mime\{Address, Email};
$login = getenv('WHO') ? getenv('WHO') . ':secret@' : '';
$email = (new Email())
    ->from(new Address(getenv('FROM'), 'Jürgen Grün'))
    ->to(getenv('TO'))
    ->subject('Grüße aus Köln')
    ->text("Übung macht den Meister.\n.\n..\nEnde\n");
if (getenv('CC')) {
    $email->cc(getenv('CC'))->bcc(getenv('BCC'));
}
if (getenv('SIZE')) {
    $email->attach(str_repeat('0123456789abcdef', (int) getenv('SIZE') / 16), 'Grün.bin');
}
(new Mailer(Transport::fromDsn('smtp://' . $login . getenv('SERVER') . ':' . getenv('PORT') . '?verify_peer=0')))->send($email);
