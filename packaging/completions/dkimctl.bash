# Completion of dkimctl(8) for bash.
# Made of the tables in src/admin: UPDATE_EXPECT=1 cargo test --lib admin::cli writes this file.
_dkimctl() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} subcommand= options kind at
    local etc=${SENDMAIL_DKIM_ETC:-/etc/sendmail-dkim}
    COMPREPLY=()
    for ((at = 1; at < COMP_CWORD; at++)); do
        case ${COMP_WORDS[at]} in
        --etc) ((at++)); etc=${COMP_WORDS[at]} ;;
        -*) ;;
        *) subcommand=${subcommand:-${COMP_WORDS[at]}} ;;
        esac
    done
    # bash splits --option=value into three words.
    [[ $word == = ]] && word=
    [[ $before == = ]] && before=${COMP_WORDS[COMP_CWORD - 2]}
    case $subcommand in
    '') kind='doctor explain genkey import log record rotate setup status testkey try verify watch' ;;
    doctor) kind= options='--offline --json' ;;
    explain) kind=file options='--from --user --json' ;;
    genkey) kind= options='--domain --selector --type --bits --directory --append-domain --hash-algorithms --note --restrict --nosubdomains --subdomains --testmode --verbose --json' ;;
    import) kind=file options='--table --rspamd --dry-run --server --json' ;;
    log) kind= options='--since --file --json --prometheus' ;;
    record) kind=domain options='--all --merge --selector --format --dmarc --ttl --json' ;;
    rotate) kind=domain options='--all --selector --older --keep --server --mail --dry-run --json' ;;
    setup) kind= options='--dry-run --replace --json --sendmail --directories' ;;
    status) kind=domain options='--json' ;;
    testkey) kind=domain options='--server --authoritative --json' ;;
    try) kind=file options='--wrapper' ;;
    verify) kind=file options='--server --keys --record --json' ;;
    watch) kind= options='--server --mail --json' ;;
    esac
    [[ $subcommand == record && " ${COMP_WORDS[*]} " == *' --merge '* ]] && kind=file
    case $subcommand:$before in
    *:--etc) kind=directory ;;
    explain:--from) kind= ;;
    explain:--user) kind=user ;;
    genkey:-d | genkey:--domain) kind=domain ;;
    genkey:-s | genkey:--selector) kind= ;;
    genkey:--type) kind='rsa ed25519' ;;
    genkey:-b | genkey:--bits) kind= ;;
    genkey:-D | genkey:--directory) kind=directory ;;
    genkey:-h | genkey:--hash-algorithms) kind= ;;
    genkey:-n | genkey:--note) kind= ;;
    import:--table) kind=file ;;
    import:--server) kind= ;;
    log:--since) kind= ;;
    log:--file) kind=file ;;
    record:-s | record:--selector) kind= ;;
    record:--format) kind='zone plain route53 cloudflare nsupdate octodns' ;;
    record:--ttl) kind= ;;
    rotate:-s | rotate:--selector) kind= ;;
    rotate:--older) kind= ;;
    rotate:--keep) kind= ;;
    rotate:--server) kind= ;;
    rotate:--mail) kind= ;;
    setup:--sendmail) kind=file ;;
    testkey:--server) kind= ;;
    try:--wrapper) kind=file ;;
    verify:--server) kind= ;;
    verify:--keys) kind=directory ;;
    verify:--record) kind=file ;;
    watch:--server) kind= ;;
    watch:--mail) kind= ;;
    *) [[ $word == -* ]] && kind="$options --etc --help --version" ;;
    esac
    case $kind in
    directory) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
    file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    user) mapfile -t COMPREPLY < <(compgen -u -- "$word") ;;
    domain)
        kind=$(cd "$etc/domains" 2>/dev/null && ls | sed -n '/^default\.toml$/d; s/\.toml$//p')
        mapfile -t COMPREPLY < <(compgen -W "$kind" -- "$word")
        ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$kind" -- "$word") ;;
    esac
}
complete -F _dkimctl dkimctl
