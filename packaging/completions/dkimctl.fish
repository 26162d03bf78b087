# Completion of dkimctl(8) for fish.
# Made of the tables in src/admin: UPDATE_EXPECT=1 cargo test --lib admin::cli writes this file.

# The subcommand, and then the configuration directory, of the command line.
function __dkimctl_words
    set -l words (commandline -opc)
    set -l etc /etc/sendmail-dkim
    set -q SENDMAIL_DKIM_ETC; and set etc $SENDMAIL_DKIM_ETC
    set -l subcommand ''
    set -l domain ''
    set -e words[1]
    while set -q words[1]
        switch $words[1]
            case --etc
                set -e words[1]
                set -q words[1]; and set etc $words[1]
            case -d --domain
                set -e words[1]
                set -q words[1]; and set domain $words[1]
            case '-*'
            case '*'
                if test -z "$subcommand"
                    set subcommand $words[1]
                else if test -z "$domain"
                    set domain $words[1]
                end
        end
        set -e words[1]
    end
    echo $subcommand
    echo $etc
    echo $domain
end

function __dkimctl_is
    set -l words (__dkimctl_words)
    test "$words[1]" = "$argv[1]"
end

function __dkimctl_domains
    set -l words (__dkimctl_words)
    for file in $words[2]/domains/*.toml
        string match -v default (string replace -r '.*/(.*)\.toml$' '$1' -- $file)
    end
end

function __dkimctl_selectors
    set -l words (__dkimctl_words)
    set -l domain $words[3]
    test -z "$domain"; and set domain '*'
    for file in (eval "echo $words[2]/keys/$domain/*.private" 2>/dev/null | string split ' ')
        string replace -r '.*/(.*)\.private$' '$1' -- $file
    end
end

function __dkimctl_domain_and_selectors
    set -l words (__dkimctl_words)
    if test -z "$words[3]"
        __dkimctl_domains
    else
        __dkimctl_selectors
    end
end

complete -c dkimctl -f
complete -c dkimctl -l etc -x -a '(__fish_complete_directories (commandline -ct))' -d 'configuration directory'
complete -c dkimctl -s h -l help -d 'print this help, or the help of a subcommand'
complete -c dkimctl -l json -d 'print the result as JSON'
complete -c dkimctl -s q -l quiet -d 'print only what is wrong'
complete -c dkimctl -s V -l version -d 'print the version'
complete -c dkimctl -n '__dkimctl_is' -a add -d 'Let mail From a domain be signed: create its key and its domain file'
complete -c dkimctl -n '__dkimctl_is' -a check -d 'Check the configuration, the keys and their permissions'
complete -c dkimctl -n '__dkimctl_is' -a disable -d 'Make the real sendmail the active sendmail again'
complete -c dkimctl -n '__dkimctl_is' -a doctor -d 'Find what breaks signatures or loses mail on this host'
complete -c dkimctl -n '__dkimctl_is' -a enable -d 'Make sendmail.dkim the active sendmail of this host'
complete -c dkimctl -n '__dkimctl_is' -a explain -d 'Explain what the wrapper would do with a message, and why'
complete -c dkimctl -n '__dkimctl_is' -a genkey -d 'Create a key for a domain and print the DNS record to publish'
complete -c dkimctl -n '__dkimctl_is' -a import -d 'Create domain files and keys from OpenDKIM, PhoenixDKIM or rspamd'
complete -c dkimctl -n '__dkimctl_is' -a list -d 'List the domains, their selectors and who may sign for them'
complete -c dkimctl -n '__dkimctl_is' -a log -d 'Show what became of mail: signed, unsigned or refused, and why'
complete -c dkimctl -n '__dkimctl_is' -a record -d 'Print the DNS records to publish, in the format of a DNS service'
complete -c dkimctl -n '__dkimctl_is' -a remove -d 'Stop signing for a domain, or with one of its keys'
complete -c dkimctl -n '__dkimctl_is' -a rotate -d 'Replace keys stage by stage, as fast as DNS allows'
complete -c dkimctl -n '__dkimctl_is' -a setup -d 'Fill in config.toml from the host'
complete -c dkimctl -n '__dkimctl_is' -a status -d 'Show whether mail is signed on this host, and the state of each key'
complete -c dkimctl -n '__dkimctl_is' -a testkey -d 'Compare the published key records with the keys on this host'
complete -c dkimctl -n '__dkimctl_is' -a try -d 'Sign a message with a temporary key and print the result'
complete -c dkimctl -n '__dkimctl_is' -a use -d 'Set which keys of a domain sign'
complete -c dkimctl -n '__dkimctl_is' -a verify -d 'Verify the signatures of a message'
complete -c dkimctl -n '__dkimctl_is' -a watch -d 'Report records of signing keys that are no longer published, once each'
complete -c dkimctl -n '__dkimctl_is add' -s d -l domain -x -a '(__dkimctl_domains)' -d 'another way to write the operand DOMAIN'
complete -c dkimctl -n '__dkimctl_is add' -s s -l selector -x -a '(__dkimctl_selectors)' -d 'name of the key (default: {host}-{yyyymm})'
complete -c dkimctl -n '__dkimctl_is add' -l type -x -a 'rsa ed25519' -d 'key type (default: rsa)'
complete -c dkimctl -n '__dkimctl_is add' -s b -l bits -x -d 'size of an RSA key, 1024 to 4096 (default: 2048)'
complete -c dkimctl -n '__dkimctl_is add' -l keys -x -d 'sign with the keys in keys/NAME, shared by domains'
complete -c dkimctl -n '__dkimctl_is add' -l users -x -d 'only these users may sign, as a,b'
complete -c dkimctl -n '__dkimctl_is add' -l groups -x -d 'only members of these groups may sign, as a,b'
complete -c dkimctl -n '__dkimctl_is add' -l no-publish -d 'only print the record, and sign at once'
complete -c dkimctl -n '__dkimctl_is add' -l wait -x -d 'longest wait for DNS (default: 60s)'
complete -c dkimctl -n '__dkimctl_is add' -a '(__dkimctl_domains)'
complete -c dkimctl -n '__dkimctl_is check' -s d -l domain -x -a '(__dkimctl_domains)' -d 'another way to write the operand DOMAIN'
complete -c dkimctl -n '__dkimctl_is check' -a '(__dkimctl_domains)'
complete -c dkimctl -n '__dkimctl_is doctor' -l offline -d 'do not query DNS'
complete -c dkimctl -n '__dkimctl_is doctor' -l fix -d 'carry out the remedies that are safe, and check again'
complete -c dkimctl -n '__dkimctl_is doctor' -l yes -d 'with --fix, change settings of Postfix and services, too'
complete -c dkimctl -n '__dkimctl_is explain' -l from -x -d 'use a short message From this address instead of a file'
complete -c dkimctl -n '__dkimctl_is explain' -l user -x -a '(__fish_complete_users)' -d 'act as if this user submits the message (default: the caller)'
complete -c dkimctl -n '__dkimctl_is explain' -F
complete -c dkimctl -n '__dkimctl_is genkey' -s d -l domain -x -a '(__dkimctl_domains)' -d 'signing domain (d=)'
complete -c dkimctl -n '__dkimctl_is genkey' -s s -l selector -x -a '(__dkimctl_selectors)' -d 'selector, the name of the key (s=)'
complete -c dkimctl -n '__dkimctl_is genkey' -l type -x -a 'rsa ed25519' -d 'key type (default: rsa)'
complete -c dkimctl -n '__dkimctl_is genkey' -s b -l bits -x -d 'size of an RSA key, 1024 to 4096 (default: 2048)'
complete -c dkimctl -n '__dkimctl_is genkey' -s D -l directory -x -a '(__fish_complete_directories (commandline -ct))' -d 'write key and record to this directory only'
complete -c dkimctl -n '__dkimctl_is genkey' -s a -l append-domain -d 'write the record name in full to SELECTOR.txt'
complete -c dkimctl -n '__dkimctl_is genkey' -s h -l hash-algorithms -x -d 'accept only these hash algorithms (h=)'
complete -c dkimctl -n '__dkimctl_is genkey' -s n -l note -x -d 'note in the record (n=)'
complete -c dkimctl -n '__dkimctl_is genkey' -s r -l restrict -d 'restrict the key to email (s=email)'
complete -c dkimctl -n '__dkimctl_is genkey' -s S -l nosubdomains -d 'require the domain of d= in i= (t=s)'
complete -c dkimctl -n '__dkimctl_is genkey' -l subdomains -d 'allow subdomains of d= in i=; overrides -S'
complete -c dkimctl -n '__dkimctl_is genkey' -s t -l testmode -d 'mark the domain as testing DKIM (t=y)'
complete -c dkimctl -n '__dkimctl_is genkey' -l users -x -d 'only these users may sign, as a,b'
complete -c dkimctl -n '__dkimctl_is genkey' -l groups -x -d 'only members of these groups may sign, as a,b'
complete -c dkimctl -n '__dkimctl_is genkey' -l no-publish -d 'only print the record, and sign at once'
complete -c dkimctl -n '__dkimctl_is genkey' -l wait -x -d 'longest wait for DNS (default: 60s)'
complete -c dkimctl -n '__dkimctl_is genkey' -s v -l verbose -d 'report each step on stderr'
complete -c dkimctl -n '__dkimctl_is genkey' -a '(__dkimctl_domain_and_selectors)'
complete -c dkimctl -n '__dkimctl_is import' -l table -r -F -d 'read exported tables instead of those in databases'
complete -c dkimctl -n '__dkimctl_is import' -l rspamd -d 'read rspamadm configdump --json dkim_signing'
complete -c dkimctl -n '__dkimctl_is import' -l dry-run -d 'print what would change, and change nothing'
complete -c dkimctl -n '__dkimctl_is import' -l server -x -d 'query this DNS server, not those in /etc/resolv.conf'
complete -c dkimctl -n '__dkimctl_is import' -F
complete -c dkimctl -n '__dkimctl_is list' -s d -l domain -x -a '(__dkimctl_domains)' -d 'another way to write the operand DOMAIN'
complete -c dkimctl -n '__dkimctl_is list' -a '(__dkimctl_domains)'
complete -c dkimctl -n '__dkimctl_is log' -l since -x -d 'how far to look back, as 12h or 7d, or a date (default: 1d)'
complete -c dkimctl -n '__dkimctl_is log' -l file -r -F -d 'read this log file alone, or standard input for -'
complete -c dkimctl -n '__dkimctl_is log' -l prometheus -d 'print counters for Prometheus, of the current log by default'
complete -c dkimctl -n '__dkimctl_is record' -s d -l domain -x -a '(__dkimctl_domains)' -d 'another way to write the operand DOMAIN'
complete -c dkimctl -n '__dkimctl_is record' -l all -d 'use every domain that has keys on this host'
complete -c dkimctl -n '__dkimctl_is record' -l merge -d 'read records that --json printed on other hosts'
complete -c dkimctl -n '__dkimctl_is record' -s s -l selector -x -a '(__dkimctl_selectors)' -d 'leave out all other selectors'
complete -c dkimctl -n '__dkimctl_is record' -l format -x -a 'zone plain route53 cloudflare nsupdate octodns' -d 'print only records'
complete -c dkimctl -n '__dkimctl_is record' -l dmarc -d 'add the DMARC record, which replaces a published one'
complete -c dkimctl -n '__dkimctl_is record' -l ttl -x -d 'time to live (default: that of the zone, or 3600)'
complete -c dkimctl -n '__dkimctl_is record' -a '(__dkimctl_domains)'
complete -c dkimctl -n '__dkimctl_is record; and __fish_contains_opt merge' -F
complete -c dkimctl -n '__dkimctl_is remove' -s d -l domain -x -a '(__dkimctl_domains)' -d 'another way to write the operand DOMAIN'
complete -c dkimctl -n '__dkimctl_is remove' -s s -l selector -x -a '(__dkimctl_selectors)' -d 'another way to write the operand SELECTOR'
complete -c dkimctl -n '__dkimctl_is remove' -l wipe -d 'overwrite and remove the keys, too'
complete -c dkimctl -n '__dkimctl_is remove' -l unpublish -d 'remove the records from DNS'
complete -c dkimctl -n '__dkimctl_is remove' -l revoke -d 'publish records with an empty p= in their place'
complete -c dkimctl -n '__dkimctl_is remove' -l wait -x -d 'longest wait for DNS (default: 60s)'
complete -c dkimctl -n '__dkimctl_is remove' -a '(__dkimctl_domain_and_selectors)'
complete -c dkimctl -n '__dkimctl_is rotate' -s d -l domain -x -a '(__dkimctl_domains)' -d 'another way to write the operand DOMAIN'
complete -c dkimctl -n '__dkimctl_is rotate' -l all -d 'rotate every domain that has keys on this host'
complete -c dkimctl -n '__dkimctl_is rotate' -s s -l selector -x -d 'name of the new key (default: {host}-{yyyymm})'
complete -c dkimctl -n '__dkimctl_is rotate' -l selectors -x -d 'names that new keys take in turn, as in s1,s2'
complete -c dkimctl -n '__dkimctl_is rotate' -l older -x -d 'replace only keys that are older, as in 180d'
complete -c dkimctl -n '__dkimctl_is rotate' -l keep -x -d 'how long an old record stays published (default: 7d)'
complete -c dkimctl -n '__dkimctl_is rotate' -l wait -x -d 'longest wait for DNS (default: 10s)'
complete -c dkimctl -n '__dkimctl_is rotate' -l server -x -d 'find the servers of the zone through this DNS server'
complete -c dkimctl -n '__dkimctl_is rotate' -l mail -x -d 'mail what is new to this address'
complete -c dkimctl -n '__dkimctl_is rotate' -l dry-run -d 'print what would change, and change nothing'
complete -c dkimctl -n '__dkimctl_is rotate' -a '(__dkimctl_domains)'
complete -c dkimctl -n '__dkimctl_is setup' -l dry-run -d 'print what would change, and change nothing'
complete -c dkimctl -n '__dkimctl_is setup' -l replace -d 'replace values that differ from what the host reports'
complete -c dkimctl -n '__dkimctl_is setup' -l sendmail -r -F -d 'set only the real sendmail, if config.toml has none'
complete -c dkimctl -n '__dkimctl_is setup' -l directories -d 'only create the directories and set the group of keys'
complete -c dkimctl -n '__dkimctl_is setup' -l smtp -d 'show how Postfix hands mail submitted by SMTP to the wrapper'
complete -c dkimctl -n '__dkimctl_is setup' -l publish -x -d 'publish by nsupdate, by a program, or not (off)'
complete -c dkimctl -n '__dkimctl_is setup' -l tsig-key -r -F -d 'TSIG key for nsupdate'
complete -c dkimctl -n '__dkimctl_is setup' -l server -x -d 'server that nsupdate sends the updates to'
complete -c dkimctl -n '__dkimctl_is setup' -l yes -d 'with --smtp, apply the changes that are shown'
complete -c dkimctl -n '__dkimctl_is status' -s d -l domain -x -a '(__dkimctl_domains)' -d 'another way to write the operand DOMAIN'
complete -c dkimctl -n '__dkimctl_is status' -s s -l selector -x -a '(__dkimctl_selectors)' -d 'leave out all other selectors'
complete -c dkimctl -n '__dkimctl_is status' -a '(__dkimctl_domains)'
complete -c dkimctl -n '__dkimctl_is testkey' -s d -l domain -x -a '(__dkimctl_domains)' -d 'another way to write the operand DOMAIN'
complete -c dkimctl -n '__dkimctl_is testkey' -s s -l selector -x -a '(__dkimctl_selectors)' -d 'leave out all other selectors'
complete -c dkimctl -n '__dkimctl_is testkey' -l server -x -d 'query this DNS server, not those in /etc/resolv.conf'
complete -c dkimctl -n '__dkimctl_is testkey' -l authoritative -d 'query each server of the zone, bypassing caches'
complete -c dkimctl -n '__dkimctl_is testkey' -a '(__dkimctl_domains)'
complete -c dkimctl -n '__dkimctl_is try' -l wrapper -r -F -d 'wrapper to run (default: sendmail-dkim next to dkimctl)'
complete -c dkimctl -n '__dkimctl_is try' -F
complete -c dkimctl -n '__dkimctl_is use' -s d -l domain -x -a '(__dkimctl_domains)' -d 'another way to write the operand DOMAIN'
complete -c dkimctl -n '__dkimctl_is use' -s s -l selector -x -a '(__dkimctl_selectors)' -d 'another way to write the operand SELECTOR'
complete -c dkimctl -n '__dkimctl_is use' -l keys -x -d 'sign with the keys in keys/NAME, shared by domains'
complete -c dkimctl -n '__dkimctl_is use' -a '(__dkimctl_domain_and_selectors)'
complete -c dkimctl -n '__dkimctl_is verify' -l server -x -d 'query this DNS server, not those in /etc/resolv.conf'
complete -c dkimctl -n '__dkimctl_is verify' -l keys -x -a '(__fish_complete_directories (commandline -ct))' -d 'no DNS: read DIR/DOMAIN/SELECTOR.txt or SELECTOR.private'
complete -c dkimctl -n '__dkimctl_is verify' -l record -r -F -d 'no DNS: use this record, as genkey writes it or bare'
complete -c dkimctl -n '__dkimctl_is verify' -F
complete -c dkimctl -n '__dkimctl_is watch' -l server -x -d 'query this DNS server, not those in /etc/resolv.conf'
complete -c dkimctl -n '__dkimctl_is watch' -l mail -x -d 'mail what is new to this address'
