# Completion of dkimctl(8) for bash.
# Made of the tables in src/admin: UPDATE_EXPECT=1 cargo test --lib admin::cli writes this file.
_dkimctl() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} subcommand= domain= options kind at
    local etc=${SENDMAIL_DKIM_ETC:-/etc/sendmail-dkim}
    COMPREPLY=()
    for ((at = 1; at < COMP_CWORD; at++)); do
        case ${COMP_WORDS[at]} in
        --etc) ((at++)); etc=${COMP_WORDS[at]} ;;
        -d | --domain) ((at++)); domain=${COMP_WORDS[at]} ;;
        -*) ;;
        *) if [[ $subcommand ]]; then domain=${domain:-${COMP_WORDS[at]}}; else subcommand=${COMP_WORDS[at]}; fi ;;
        esac
    done
    # bash splits --option=value into three words.
    [[ $word == = ]] && word=
    [[ $before == = ]] && before=${COMP_WORDS[COMP_CWORD - 2]}
    case $subcommand in
    '') kind='add check disable doctor enable explain genkey import list log record remove rotate setup status testkey try use verify watch' ;;
    add) kind=domain options='--domain --selector --type --bits --keys --users --groups --no-publish --wait' ;;
    check) kind=domain options='--domain' ;;
    disable) kind= options='' ;;
    doctor) kind= options='--offline --fix --yes' ;;
    enable) kind= options='' ;;
    explain) kind=file options='--from --user' ;;
    genkey) kind=domain-and-selectors options='--domain --selector --type --bits --directory --append-domain --hash-algorithms --note --restrict --nosubdomains --subdomains --testmode --users --groups --no-publish --wait --verbose' ;;
    import) kind=file options='--table --rspamd --dry-run --server' ;;
    list) kind=domain options='--domain' ;;
    log) kind= options='--since --file --prometheus' ;;
    record) kind=domain options='--domain --all --merge --selector --format --dmarc --ttl' ;;
    remove) kind=domain-and-selectors options='--domain --selector --wipe --unpublish --revoke --wait' ;;
    rotate) kind=domain options='--domain --all --selector --selectors --older --keep --wait --server --mail --dry-run' ;;
    setup) kind= options='--dry-run --replace --sendmail --directories --smtp --publish --tsig-key --server --yes' ;;
    status) kind=domain options='--domain --selector' ;;
    testkey) kind=domain options='--domain --selector --server --authoritative' ;;
    try) kind=file options='--wrapper' ;;
    use) kind=domain-and-selectors options='--domain --selector --keys' ;;
    verify) kind=file options='--server --keys --record' ;;
    watch) kind= options='--server --mail' ;;
    esac
    [[ $subcommand == record && " ${COMP_WORDS[*]} " == *' --merge '* ]] && kind=file
    case $subcommand:$before in
    *:--etc) kind=directory ;;
    add:-d | add:--domain) kind=domain ;;
    add:-s | add:--selector) kind=selector ;;
    add:--type) kind='rsa ed25519' ;;
    add:-b | add:--bits) kind= ;;
    add:--keys) kind= ;;
    add:--users) kind= ;;
    add:--groups) kind= ;;
    add:--wait) kind= ;;
    check:-d | check:--domain) kind=domain ;;
    explain:--from) kind= ;;
    explain:--user) kind=user ;;
    genkey:-d | genkey:--domain) kind=domain ;;
    genkey:-s | genkey:--selector) kind=selector ;;
    genkey:--type) kind='rsa ed25519' ;;
    genkey:-b | genkey:--bits) kind= ;;
    genkey:-D | genkey:--directory) kind=directory ;;
    genkey:-h | genkey:--hash-algorithms) kind= ;;
    genkey:-n | genkey:--note) kind= ;;
    genkey:--users) kind= ;;
    genkey:--groups) kind= ;;
    genkey:--wait) kind= ;;
    import:--table) kind=file ;;
    import:--server) kind= ;;
    list:-d | list:--domain) kind=domain ;;
    log:--since) kind= ;;
    log:--file) kind=file ;;
    record:-d | record:--domain) kind=domain ;;
    record:-s | record:--selector) kind=selector ;;
    record:--format) kind='zone plain route53 cloudflare nsupdate octodns' ;;
    record:--ttl) kind= ;;
    remove:-d | remove:--domain) kind=domain ;;
    remove:-s | remove:--selector) kind=selector ;;
    remove:--wait) kind= ;;
    rotate:-d | rotate:--domain) kind=domain ;;
    rotate:-s | rotate:--selector) kind= ;;
    rotate:--selectors) kind= ;;
    rotate:--older) kind= ;;
    rotate:--keep) kind= ;;
    rotate:--wait) kind= ;;
    rotate:--server) kind= ;;
    rotate:--mail) kind= ;;
    setup:--sendmail) kind=file ;;
    setup:--publish) kind= ;;
    setup:--tsig-key) kind=file ;;
    setup:--server) kind= ;;
    status:-d | status:--domain) kind=domain ;;
    status:-s | status:--selector) kind=selector ;;
    testkey:-d | testkey:--domain) kind=domain ;;
    testkey:-s | testkey:--selector) kind=selector ;;
    testkey:--server) kind= ;;
    try:--wrapper) kind=file ;;
    use:-d | use:--domain) kind=domain ;;
    use:-s | use:--selector) kind=selector ;;
    use:--keys) kind= ;;
    verify:--server) kind= ;;
    verify:--keys) kind=directory ;;
    verify:--record) kind=file ;;
    watch:--server) kind= ;;
    watch:--mail) kind= ;;
    *) [[ $word == -* ]] && kind="$options --etc --help --json --quiet --version" ;;
    esac
    if [[ $kind == domain-and-selectors ]]; then
        if [[ $domain ]]; then kind=selector; else kind=domain; fi
    fi
    case $kind in
    selector)
        kind=$(cd "$etc/keys/$domain" 2>/dev/null && find . -name '*.private' | sed 's|.*/||; s/\.private$//' | sort -u)
        mapfile -t COMPREPLY < <(compgen -W "$kind" -- "$word")
        ;;
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
