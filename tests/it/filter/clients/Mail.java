import java.util.Arrays;
import java.util.Properties;
import javax.activation.DataHandler;
import javax.mail.Authenticator;
import javax.mail.Message.RecipientType;
import javax.mail.PasswordAuthentication;
import javax.mail.Session;
import javax.mail.Transport;
import javax.mail.internet.InternetAddress;
import javax.mail.internet.MimeBodyPart;
import javax.mail.internet.MimeMessage;
import javax.mail.internet.MimeMultipart;
import javax.mail.util.ByteArrayDataSource;

public class Mail {
    public static void main(String[] args) throws Exception {
        Properties properties = new Properties();
        properties.put("mail.smtp.host", System.getenv("SERVER"));
        properties.put("mail.smtp.port", System.getenv("PORT"));
        properties.put("mail.mime.allowutf8", "true");
        String who = System.getenv("WHO"), sender = System.getenv("SENDER"), size = System.getenv("SIZE");
        if (sender != null) {
            properties.put("mail.smtp.from", sender.isEmpty() ? "<>" : sender);
        }
        Authenticator authenticator = null;
        if (who != null && !who.isEmpty()) {
            properties.put("mail.smtp.auth", "true");
            properties.put("mail.smtp.starttls.required", "true");
            properties.put("mail.smtp.ssl.trust", "*");
            authenticator = new Authenticator() {
                protected PasswordAuthentication getPasswordAuthentication() {
                    return new PasswordAuthentication(who, "secret");
                }
            };
        }
        MimeMessage message = new MimeMessage(Session.getInstance(properties, authenticator));
        message.setFrom(new InternetAddress(System.getenv("FROM"), "Jürgen Grün", "utf-8"));
        message.setRecipients(RecipientType.TO, System.getenv("TO"));
        if (System.getenv("CC") != null) {
            message.setRecipients(RecipientType.CC, System.getenv("CC"));
            message.setRecipients(RecipientType.BCC, System.getenv("BCC"));
        }
        message.setSubject("Grüße aus Köln", "utf-8");
        message.setSentDate(new java.util.Date());
        String text = "Übung macht den Meister.\n.\nEnde\n";
        if (size == null) {
            message.setText(text, "utf-8");
        } else {
            MimeBodyPart first = new MimeBodyPart(), second = new MimeBodyPart();
            first.setText(text, "utf-8");
            byte[] bytes = new byte[Integer.parseInt(size)];
            Arrays.fill(bytes, (byte) 'x');
            second.setDataHandler(new DataHandler(new ByteArrayDataSource(bytes, "application/octet-stream")));
            second.setHeader("Content-Transfer-Encoding", "base64");
            second.setFileName("data.bin");
            message.setContent(new MimeMultipart(first, second));
        }
        Transport.send(message);
    }
}
