# group.sh: what register, unregister and status share. Sourced by them; $0 is the script.

HERE=$(dirname "$(realpath "$0")")
NAME=${0##*/}
die() { echo "$NAME: $*" >&2; exit 69; }

# The value of one line of the data file, such as the target of a follower.
data() { awk -v key="$1" -v name="${2:-}" '$1 == key && (name == "" || $2 == name) { print $(name == "" ? 2 : 3); exit }' "$HERE/mta"; }

ours() { awk -v name="$1" '$1 == "ours" && $2 == name { print $4 }' "$HERE/mta"; }

GROUP=$(data name)
TARGET=$(data target)
PRIORITY=$(data priority)
INITSCRIPT=$(data initscript)
# What `register` writes for systemd, and `unregister` removes.
DROPIN=/etc/systemd/system/$INITSCRIPT.service.d/agent.conf
PRESET=/etc/systemd/system-preset/80-$INITSCRIPT-agent.preset
SENDMAIL=/usr/sbin/sendmail
LIB=/usr/lib/sendmail

tool=$(command -v alternatives || command -v update-alternatives) || die "no alternatives(8) here"
# Only RHEL's has services; both have all else that is used here, by the same names.
if "$tool" --help 2>&1 | grep -q -e --initscript; then services=yes; else services=no; fi

# The state file of the group, in the same form with both: mode, link, then name and link of each follower, an empty line;
# then for each entry its path, its priority, and the target of each follower in the same order.
STATE=
for dir in /var/lib/alternatives /etc/alternatives-admindir /var/lib/dpkg/alternatives; do
    [ ! -r "$dir/$GROUP" ] || { STATE=$dir/$GROUP; break; }
done
LINK=
[ -z "$STATE" ] || LINK=$(sed -n 2p "$STATE")

# Which way it is done here: "group" where mail agents are entries of the group, "diversion" on Debian.
case $LINK in
*/sendmail) WAY=group ;;
*) if command -v dpkg-divert >/dev/null; then WAY=diversion; else WAY=group LINK=$SENDMAIL; fi ;;
esac

# The paths of the other entries, highest priority first.
entries() {
    [ -n "$STATE" ] || return 0
    awk -v ours="/${TARGET##*/}\$" '
        NR > 2 && !body { if ($0 == "") body = 1; else if (odd = !odd) n++; next }
        body && path == "" { path = $0; line = 0; next }
        body { if (++line == 1 && path !~ ours) { sub(/^@[^@]*@/, ""); print $1, path }
               if (line == n + 1) path = "" }' "$STATE" | sort -k1,1nr -s | cut -d' ' -f2-
}

# The names of the group and where they lead in an entry: the entry's own path, and its followers.
entry() {
    awk -v group="$GROUP" -v path="$1" '
        NR > 2 && !body { if ($0 == "") body = 1; else if (odd = !odd) names[++n] = $0; next }
        body && here == "" { here = $0; line = 0; if (here == path) print group, path; next }
        body { line++
               if (line > 1 && here == path && $0 != "") print names[line - 1], $0
               if (line == n + 1) here = "" }' "$STATE"
}

# Whether sendmail.dkim is selected; /usr/sbin may be another name of /usr/bin.
chosen() { [ "/etc/alternatives/$GROUP" -ef "$TARGET" ]; }
registered() { [ -n "$STATE" ] && grep -qE "^/usr/s?bin/${TARGET##*/}\$" "$STATE"; }

# The path of the entry of sendmail.dkim.
ours_path() { grep -m 1 -E "^/usr/s?bin/${TARGET##*/}\$" "$STATE"; }

# Selects an entry permanently, without a moment in which a name leads nowhere. RHEL's program removes a link and then creates it again,
# but does not touch a link that already leads to the right place: so each link is put in place by rename(2) first.
choose() {
    # Whether sendmail.dkim.service starts the mail agent at boot; the administrator may have disabled it.
    started=no
    [ "$services" = no ] || ! systemctl --quiet is-enabled "$INITSCRIPT.service" 2>/dev/null || started=yes
    [ "$WAY" = diversion ] || entry "$1" | while read -r name to; do
        [ -e "$to" ] && [ "$(readlink "/etc/alternatives/$name")" != "$to" ] || continue
        ln -sf "$to" "/etc/alternatives/$name.new"
        mv -fT "/etc/alternatives/$name.new" "/etc/alternatives/$name"
    done
    "$tool" --set "$GROUP" "$1" >/dev/null
    # RHEL's alternatives(8) now applies the preset of the service of the mail agent, which is `disable`.
    [ $started = yes ] && [ "$1" != "$(ours_path)" ] || return 0
    for unit in $(service "$1"); do
        systemctl --quiet enable "$unit.service" || echo "$NAME: cannot enable $unit.service; enable it yourself" >&2
    done
}

# The service of an entry.
service() {
    awk -v path="$1" 'last == path { sub(/^@[^@]*@/, ""); print $2 } { last = $0 }' "$STATE"
}

# The real sendmail that config.toml names; it may not exist.
named() {
    etc=/etc/sendmail-dkim
    [ -r "$etc/config.toml" ] || return 0
    grep -m 1 '^[[:space:]]*sendmail[[:space:]]*=' "$etc/config.toml" | sed -n "s/^[^=]*=[[:space:]]*[\"']\([^\"']*\)[\"'].*/\1/p"
}

# The real sendmail: the one that config.toml names, or the other entry with the highest priority, or one of the usual paths. By the
# name of its entry, if it has one; never sendmail.dkim itself.
real() {
    for path in $(named) $(entries) $(awk '$1 == "real" { print $2 }' "$HERE/mta"); do
        [ -x "$path" ] && ! [ "$path" -ef "$TARGET" ] || continue
        for entry in $(entries); do
            ! [ "$entry" -ef "$path" ] || { echo "$entry"; return; }
        done
        echo "$path"
        return
    done
    return 1
}

# The entry whose followers are copied: that of the real sendmail, or the one with the highest priority.
model() {
    real=$(real) || return 1
    for entry in $(entries); do
        [ "$entry" != "$real" ] || { echo "$entry"; return; }
    done
    entries | sed -n 1p
}

# Link, name and target of each follower of an entry, one on each line; without a target if the entry has none.
followers_of() {
    awk -v path="$1" '
        NR > 2 && !body { if ($0 == "") body = 1
            else if (odd = !odd) names[++n] = $0
            else links[n] = $0
            next }
        body && entry == "" { entry = $0; line = 0; next }
        body { line++
            if (line > 1 && entry == path) print links[line - 1], names[line - 1], $0
            if (line == n + 1) entry = "" }' "$STATE"
}

# Puts a file in the place of another in one step: there is a sendmail at any moment. Two names of one file, a symbolic link
# included, are in place already: rename(2) keeps both, and mv(1) refuses them.
put() {
    if [ "$(stat -c %d:%i "$1")" = "$(stat -c %d:%i "$2" 2>/dev/null)" ]; then rm "$1"; else mv -fT "$1" "$2"; fi
}
