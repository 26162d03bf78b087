"""Submits a message by smtplib: to $PORT of $SERVER, From $FROM, to $TO, $CC and $BCC, by $SENDER if that is set; with TLS and a login as
$WHO, and an attachment of $SIZE bytes."""

import os
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

env = os.environ
message = EmailMessage()
message["From"] = f"Jürgen Grün <{env['FROM']}>"
message["To"] = env["TO"]
for name in ["Cc", "Bcc"]:
    if env.get(name.upper()):
        message[name] = env[name.upper()]
message["Date"], message["Message-ID"] = formatdate(), make_msgid()
message["Subject"] = "Grüße aus Köln"
message.set_content("Übung macht den Meister.\n.\nFrom here on\n", cte="8bit")
if env.get("SIZE"):
    message.add_attachment(bytes(range(256)) * (int(env["SIZE"]) // 256), maintype="image", subtype="x", filename="Grün.x")
server = smtplib.SMTP(env["SERVER"], int(env["PORT"]), "client.test")
if env.get("WHO"):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    server.starttls(context=context)
    server.login(env["WHO"], "secret")
server.send_message(message, from_addr=env.get("SENDER"))
server.quit()
