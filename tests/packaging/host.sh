# host.sh: what the scripts of this folder stand on. Sourced by them, inside.
set -euo pipefail
[ -z "${TRACE:-}" ] || set -x

fail() {
    echo "FAILED: $*" >&2
    tail -n "${TAIL:-5}" /var/log/postfix.log /out/syslog >&2 || true
    exit 1
}
say() { echo "== $*"; }

# A command that must succeed; its output is shown when it does not.
quietly() { "$@" >/tmp/output 2>&1 || { cat /tmp/output >&2; fail "$*"; }; }

# What `dkimctl doctor` says: nothing, or findings of these checks, and `status` agrees whether all is well.
doctor_finds() {
    local found said
    said=$(dkimctl doctor --offline || true)
    found=$(sed -nE 's/^(ERROR|warning|info): //p' <<<"$said" | xargs)
    [ "$found" = "$*" ] || fail "doctor finds \"$found\", not \"$*\": $said"
    [ -n "$found" ] || [ "$said" = "nothing found" ] || fail "doctor: $said"
    if [ -z "$found" ]; then
        /usr/libexec/sendmail-dkim/status >/tmp/status || fail "status does not agree: $(cat /tmp/status)"
    else
        ! /usr/libexec/sendmail-dkim/status >/tmp/status || fail "status does not agree: $(cat /tmp/status)"
    fi
}

start_daemons() {
    mkfifo /run/until
    init.sh 0 </run/until >/run/ready &
    exec 8>/run/until
    until grep -qs ready /run/ready; do
        kill -0 $! 2>/dev/null || fail "the daemons do not start"
        sleep 0.05
    done
}

# The file of the one message for a recipient, in $MAIL; waits for it. Without processes: an emulated machine is slow at those.
receive() {
    local tries=0
    until MAIL=$(echo "/out/rcpt/$1/"*) && [ "$MAIL" != "/out/rcpt/$1/*" ]; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || fail "no mail for $1"
        sleep ${POLL:-0.05}
    done
    MAIL=${MAIL%% *}
    MAIL=${MAIL##*/}
    MAIL=/out/sink/${MAIL%.json}.eml
}

publish() { publish.py "$1" /etc/sendmail-dkim/keys/"$1"/*.txt; }

# One mail by mail(1), From a domain.
send() { echo "Test Mail." | setpriv --reuid alice --regid alice --init-groups mail -s "test mail" -r "webmaster@$1" "$2"; }

# The message in $MAIL is signed for sample.com, as three verifiers say.
is_signed() {
    grep -q '^DKIM-Signature: .*d=sample.com;' <(tr -d '\r' <"$MAIL" | sed ':a;N;$!ba;s/\n[ \t]/ /g') ||
        fail "not signed: $(cat "$MAIL")"
    for verifier in dkimpy.py maildkim.pl opendkim.py; do
        grep -q '"result": *"pass"' <<<"$(verify-$verifier "$MAIL")" || fail "$verifier: $(verify-$verifier "$MAIL")"
    done
}

sends_signed() {
    send sample.com "$1@sink.test"
    receive "$1@sink.test"
    is_signed
}

sends_unsigned() {
    send sample.com "$1@sink.test"
    receive "$1@sink.test"
    ! grep -qi '^DKIM-Signature:' "$MAIL" || fail "signed: $(cat "$MAIL")"
}

# Starts to send a message every 50 ms until told to stop, and looks each time whether there is a sendmail by both its names.
# A name that is not there, an exit code that is not 0 and a word on stderr are written down.
start_loop() {
    : >/tmp/wrong
    rm -f /tmp/stop
    (
        number=0
        while [ ! -e /tmp/stop ]; do
            number=$((number + 1))
            for path in /usr/sbin/sendmail /usr/lib/sendmail; do
                [ -x $path ] || echo "no $path at $number" >>/tmp/wrong
            done
            printf 'From: a@sample.com\nSubject: %s\n\nx\n' $number | {
                /usr/sbin/sendmail -i "loop$1-$number@sink.test" 2>>/tmp/wrong || echo "exit code $? at $number" >>/tmp/wrong
            } &
            echo $number >/tmp/sent
            sleep 0.05
        done
        wait
    ) &
    LOOP=$! LOOP_NAME=$1
}

# All that were sent must have arrived; MORE THAN some is asked for, so that an idle loop proves nothing.
end_loop() {
    touch /tmp/stop
    wait $LOOP
    [ ! -s /tmp/wrong ] || fail "in the loop: $(head -n 20 /tmp/wrong)"
    local sent arrived=0 tries=0
    sent=$(cat /tmp/sent)
    [ "$sent" -ge "$1" ] || fail "only $sent messages were sent meanwhile"
    until [ "$arrived" = "$sent" ]; do
        arrived=$(ls /out/rcpt | grep -c "^loop$LOOP_NAME-" || true)
        tries=$((tries + 1))
        [ $tries -lt 600 ] || fail "$arrived of $sent messages arrived"
        # A queue manager that was restarted by an upgrade of Postfix wakes up by itself after five minutes.
        [ $((tries % 10)) != 0 ] || postqueue -f || true
        sleep 0.1
    done
    say "$sent messages sent meanwhile, one every 50 ms: all arrived"
}
