# Submits a commit as $FROM to $TO, $CC and $BCC; the arguments are more options.
cd "$(mktemp -d)" && git init -q . && git config user.name 'Jürgen Grün' && git config user.email "$FROM" || exit 1
printf 'Übung\n' >file
git add file && git commit -q -m 'Grüße aus Köln' -m 'Übung macht den Meister.' &&
    git -c sendemail.smtpSslCertPath= send-email --quiet --confirm=never --suppress-cc=all --to="$TO" ${CC:+--cc="$CC" --bcc="$BCC"} --smtp-server="$SERVER" \
        --smtp-server-port="$PORT" "$@" -1
