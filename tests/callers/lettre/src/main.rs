//! Sends one message with lettre's sendmail transport, as it comes.

use lettre::message::header::ContentType;
use lettre::{Message, SendmailTransport, Transport as _};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let message = Message::builder()
        .from("Jürgen Grün <webmaster@sample.com>".parse()?)
        .to(std::env::var("TO")?.parse()?)
        .subject("Grüße aus Köln")
        .header(ContentType::TEXT_PLAIN)
        .body("Übung macht den Meister.\n.\n..\nEnde\n".to_owned())?;
    SendmailTransport::new().send(&message)?;
    Ok(())
}
