// A program in Go that sends mail as such programs do: the message is written to the stdin of sendmail(8).
package main

import (
	"bytes"
	"fmt"
	"log"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"os/exec"
)

func main() {
	log.SetFlags(0)
	from := mail.Address{Name: "Jürgen Grün", Address: "webmaster@sample.com"}
	to := mail.Address{Address: os.Getenv("TO")}
	var message bytes.Buffer
	fmt.Fprintf(&message, "From: %s\r\nTo: %s\r\n", from.String(), to.String())
	fmt.Fprintf(&message, "Subject: %s\r\n", mime.QEncoding.Encode("utf-8", "Grüße aus Köln"))
	message.WriteString("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n")
	message.WriteString("Content-Transfer-Encoding: quoted-printable\r\n\r\n")
	body := quotedprintable.NewWriter(&message)
	fmt.Fprint(body, "Übung macht den Meister.\r\n.\r\n..\r\nEnde\r\n")
	body.Close()

	sendmail := exec.Command("/usr/sbin/sendmail", "-i", "-f", from.Address, "--", to.Address)
	sendmail.Stdin = &message
	output, err := sendmail.CombinedOutput()
	// A word on stdout or stderr is an error to mail libraries in Go.
	if err != nil || len(output) > 0 {
		log.Fatalf("%v: %s", err, output)
	}
}
