# group.sh: what register, unregister and status share. Sourced by them; $0 is the script.

HERE=$(dirname "$(realpath "$0")")
NAME=${0##*/}
die() { echo "$NAME: $*" >&2; exit 69; }

# The values of one line of the data file.
data() { awk -v key="$1" -v name="${2:-}" '$1 == key && (name == "" || $2 == name) { print $(name == "" ? 2 : 3); exit }' "$HERE/mta"; }

GROUP=$(data name)
TARGET=$(data target)
PRIORITY=$(data priority)
INITSCRIPT=$(data initscript)
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

# Paths and priorities of the entries that are not ours, the best first.
entries() {
    [ -n "$STATE" ] || return 0
    awk -v ours="/${TARGET##*/}\$" '
        NR > 2 && !body { if ($0 == "") body = 1; else if (odd = !odd) n++; next }
        body && path == "" { path = $0; line = 0; next }
        body { if (++line == 1 && path !~ ours) { sub(/^@[^@]*@/, ""); print $1, path }
               if (line == n + 1) path = "" }' "$STATE" | sort -k1,1nr -s | cut -d' ' -f2-
}

# Whether ours is chosen; /usr/sbin may be another name of /usr/bin.
chosen() { [ "/etc/alternatives/$GROUP" -ef "$TARGET" ]; }
registered() { [ -n "$STATE" ] && grep -qE "^/usr/s?bin/${TARGET##*/}\$" "$STATE"; }

# The service of an entry.
service() {
    awk -v path="$1" 'last == path { sub(/^@[^@]*@/, ""); print $2 } { last = $0 }' "$STATE"
}

# The real sendmail: never ourselves, by whatever name.
real() {
    for path in $(entries) $(awk '$1 == "real" { print $2 }' "$HERE/mta"); do
        [ -x "$path" ] && ! [ "$path" -ef "$TARGET" ] || continue
        echo "$path"
        return
    done
    return 1
}

# Puts a file in the place of another in one step: there is a sendmail at any moment. Two names of one file, a symbolic link
# included, are in place already: rename(2) keeps both, and mv(1) refuses them.
put() {
    if [ "$(stat -c %d:%i "$1")" = "$(stat -c %d:%i "$2" 2>/dev/null)" ]; then rm "$1"; else mv -fT "$1" "$2"; fi
}
