use crate::support::Sandbox;

/// What becomes of a key in PKCS#8 (`KEY`) on its way to a host. Written to `x`.
const ACCEPTED_BY_OPENSSL: &[&str] = &[
    "sed 's/PRIVATE/RSA PRIVATE/' KEY >x",
    "sed 's/PRIVATE/EC PRIVATE/' KEY >x",
    "openssl pkey -in KEY -traditional | sed 's/RSA //' >x",
    "openssl pkey -in KEY -traditional -out x",
    "(printf '\\357\\273\\277'; cat KEY) >x",
    "sed 's/$/\\r/' KEY >x",
    "sed 's/$/  /' KEY >x",
    "(printf 'Bag Attributes\\n    localKeyID: 01\\nKey Attributes: <No Attributes>\\n'; cat KEY) >x",
    "openssl req -x509 -key KEY -subj /CN=x >x; cat KEY >>x",
    "awk '/-----/{print;next}{printf \"%s\",$0}END{}' KEY | sed 's/-----END/\\n&/' >x",
    "sed 's/^\\(.\\{30\\}\\)/\\1 /' KEY | sed 's/^-----BEGIN PRIVATE KEY-*.*/-----BEGIN PRIVATE KEY-----/; s/^-----END.*/-----END PRIVATE KEY-----/' >x",
    "(echo '-----BEGIN PRIVATE KEY-----'; grep -v -- --- KEY | tr -d '\\n' | fold -w 20; echo; echo '-----END PRIVATE KEY-----') >x",
    "(echo '-----BEGIN PRIVATE KEY-----'; (openssl pkey -in KEY -outform DER; printf '\\0\\0') | base64; echo '-----END PRIVATE KEY-----') >x",
];

/// What is named, with a command that makes the key of it again.
const CONVERTED: &[&str] = &[
    "openssl pkey -in KEY -outform DER -out x",
    "openssl pkey -in KEY -traditional -outform DER -out x",
    "grep -v -- --- KEY >x",
    "grep -v -- --- KEY | sed 's/$/\\r/' >x",
    "tr -d '\\n' <KEY >x",
    "tr '\\n' ' ' <KEY >x",
    "(printf 'DKIM_KEY=\"'; cat KEY; echo '\"') >x",
    "sed 's/$/\\\\n/' KEY | tr -d '\\n' >x",
    "sed 's/$/\\\\r\\\\n/' KEY | tr -d '\\n' >x",
    "sed 's/$/\\\\\\\\n/' KEY | tr -d '\\n' >x",
    "(printf '{ \"private_key\": \"'; sed 's/$/\\\\n/' KEY | tr -d '\\n'; echo '\", \"x\": \"y\" }') >x",
    "iconv -f UTF-8 -t UTF-16 KEY >x",
    "openssl pkcs8 -topk8 -in KEY -passout pass:x -out x",
    "openssl req -x509 -key KEY -subj /CN=x -out c; openssl pkcs12 -export -inkey KEY -in c -passout pass:x -out x",
];

/// What dkimctl says of `x` as a key; the public half, or an error.
fn said(sandbox: &Sandbox, folder: &str) -> Result<String, String> {
    let script = format!(
        "cd {folder}; mkdir -p etc/keys/x.test; cat x >etc/keys/x.test/s.private
         exec dkimctl --etc {folder}/etc record x.test --format plain"
    );
    let output = sandbox.sh("root", &script, b"");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
#[ignore = "needs root"]
fn a_key_that_openssl_reads_is_read_and_any_other_gets_a_command_that_works() {
    let sandbox = Sandbox::for_test("key_forms");
    for kind in ["RSA -pkeyopt rsa_keygen_bits:1024", "ED25519"] {
        let folder = format!("/var/lib/forms.{}", kind.split(" ").next().unwrap());
        sandbox.root(&format!(
            "mkdir -p {folder}; cd {folder}; openssl genpkey -algorithm {kind} -out KEY 2>/dev/null; cp KEY x"
        ));
        let right = said(sandbox, &folder).unwrap();
        for made in ACCEPTED_BY_OPENSSL
            .iter()
            .filter(|made| !made.contains("-traditional") || kind != "ED25519")
        {
            sandbox.root(&format!("cd {folder}; {made}; openssl pkey -in x -noout"));
            assert_eq!(said(sandbox, &folder), Ok(right.clone()), "{kind} {made}");
        }
        for made in
            CONVERTED.iter().filter(|made| !made.contains("-traditional") || kind != "ED25519")
        {
            sandbox.root(&format!("cd {folder}; {made}"));
            let error = said(sandbox, &folder).unwrap_err();
            let (_, command) = error.trim().rsplit_once(": ").unwrap();
            let password = if command.contains("openssl pkcs12") || error.contains("encrypted") {
                " -passin pass:x"
            } else {
                ""
            };
            sandbox.root(&format!(
                "cd {folder}; rm -f OLD NEW; cp x OLD; {command}{password}; cat NEW >x"
            ));
            assert_eq!(said(sandbox, &folder), Ok(right.clone()), "{kind} {made}: {error}");
        }
    }
}
