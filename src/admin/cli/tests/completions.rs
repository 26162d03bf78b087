//! The completions, made of the tables.

use super::*;

const NOTE: &str = "# Made of the tables in src/admin: UPDATE_EXPECT=1 cargo test --lib admin::cli writes this file.";

fn subcommands() -> String {
    SUBCOMMANDS.iter().map(Subcommand::name).collect::<Vec<_>>().join(" ")
}

/// How a text is written in a shell.
fn quoted(text: &str) -> String {
    assert!(!text.contains('\''), "{text}");
    format!("'{text}'")
}

/// The spellings of an option, as `-d`, `--domain`.
fn spellings(option: &Opt) -> Vec<String> {
    let letter = letter(option).map(|letter| format!("-{letter}"));
    letter.into_iter().chain([option.parts().0.to_owned()]).collect()
}

mod bash {
    use super::*;

    fn kind(kind: Kind) -> String {
        match kind {
            Kind::Nothing => String::new(),
            Kind::Directory => "directory".to_owned(),
            Kind::File => "file".to_owned(),
            Kind::Domain => "domain".to_owned(),
            Kind::Selector => "selector".to_owned(),
            Kind::DomainAndSelectors => "domain-and-selectors".to_owned(),
            Kind::User => "user".to_owned(),
            Kind::Words(words) => quoted(&words.replace('|', " ")),
        }
    }

    /// The cases of options with a value.
    fn values() -> String {
        let mut text = String::new();
        text.push_str("    case $subcommand:$before in\n    *:--etc) kind=directory ;;\n");
        for command in SUBCOMMANDS {
            for option in command.options.iter().filter(|option| !option.parts().1.is_empty()) {
                let spellings = spellings(option);
                let spellings = spellings.iter().map(|one| format!("{}:{one}", command.name()));
                let spellings = spellings.collect::<Vec<_>>().join(" | ");
                let kind = kind(Kind::of(option.parts().1));
                text.push_str(&format!("    {spellings}) kind={kind} ;;\n"));
            }
        }
        text
    }

    /// What is offered, by its kind.
    fn end() -> String {
        let common = COMMON.iter().map(|option| option.parts().0.to_owned());
        let common = common.collect::<Vec<_>>().join(" ");
        format!(
            r#"    *) [[ $word == -* ]] && kind="$options {common}" ;;
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
}}
complete -F _dkimctl dkimctl
"#
        )
    }

    pub(super) fn text() -> String {
        let mut text = format!(
            r#"# Completion of dkimctl(8) for bash.
{NOTE}
_dkimctl() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} subcommand= domain= options kind at
    local etc=${{SENDMAIL_DKIM_ETC:-/etc/sendmail-dkim}}
    COMPREPLY=()
    for ((at = 1; at < COMP_CWORD; at++)); do
        case ${{COMP_WORDS[at]}} in
        --etc) ((at++)); etc=${{COMP_WORDS[at]}} ;;
        -d | --domain) ((at++)); domain=${{COMP_WORDS[at]}} ;;
        -*) ;;
        *) if [[ $subcommand ]]; then domain=${{domain:-${{COMP_WORDS[at]}}}}; else subcommand=${{COMP_WORDS[at]}}; fi ;;
        esac
    done
    # bash splits --option=value into three words.
    [[ $word == = ]] && word=
    [[ $before == = ]] && before=${{COMP_WORDS[COMP_CWORD - 2]}}
    case $subcommand in
    '') kind='{}' ;;
"#,
            subcommands()
        );
        for command in SUBCOMMANDS {
            let names = command.options.iter().map(|option| option.parts().0.to_owned());
            let names = names.collect::<Vec<_>>().join(" ");
            let kind = kind(Kind::of_operands(command));
            text.push_str(&format!("    {}) kind={kind} options='{names}' ;;\n", command.name()));
        }
        text.push_str("    esac\n");
        for command in
            SUBCOMMANDS.iter().filter(|command| command.usage().contains("--merge FILE..."))
        {
            let name = command.name();
            text.push_str(&format!(
                "    [[ $subcommand == {name} && \" ${{COMP_WORDS[*]}} \" == *' --merge '* ]] && kind=file\n"
            ));
        }
        text.push_str(&values());
        text.push_str(&end());
        text
    }
}

mod zsh {
    use super::*;

    /// A text inside a specification of `_arguments`.
    fn escaped(text: &str) -> String {
        text.replace('[', "\\[").replace(']', "\\]").replace(':', "\\:")
    }

    fn action(kind: Kind) -> String {
        match kind {
            Kind::Nothing => " ".to_owned(),
            Kind::Directory => "_files -/".to_owned(),
            Kind::File => "_files".to_owned(),
            Kind::Domain => "_dkimctl_domains".to_owned(),
            Kind::Selector => "_dkimctl_selectors".to_owned(),
            Kind::DomainAndSelectors => "_dkimctl_domain_and_selectors".to_owned(),
            Kind::User => "_users".to_owned(),
            Kind::Words(words) => format!("({})", words.replace('|', " ")),
        }
    }

    fn specification(option: &Opt) -> String {
        let (name, placeholder) = option.parts();
        let has_value = !placeholder.is_empty();
        // `-d+`, `--domain=`: the value is the rest of the word, or the next one.
        let name_and_value = if has_value { format!("{name}=") } else { name.to_owned() };
        let spellings = match letter(option) {
            Some(letter) if has_value => format!("'{{-{letter}+,{name_and_value}}}'"),
            Some(letter) => format!("'{{-{letter},{name}}}'"),
            None => name_and_value,
        };
        // --help and --version end the command line; other options are listed once.
        let alone = match (name, letter(option)) {
            ("--help" | "--version", _) => "(- *)".to_owned(),
            (_, Some(letter)) => format!("(-{letter} {name})"),
            (_, None) => String::new(),
        };
        let value = format!(":{}:{}", escaped(placeholder), action(Kind::of(placeholder)));
        let value = if has_value { value } else { String::new() };
        format!("'{alone}{spellings}[{}]{value}'", escaped(option.1)).replace("''", "")
    }

    pub(super) fn text() -> String {
        let mut text = format!(
            r"#compdef dkimctl
# Completion of dkimctl(8) for zsh.
{NOTE}

_dkimctl_domains() {{
    local -a domains=($etc/domains/*.toml(N:t:r))
    domains=(${{domains:#default}})
    _describe domain domains
}}

_dkimctl_domain() {{
    local -a operands=(${{${{words[2,CURRENT-1]}}:#-*}})
    print -r -- ${{opt_args[-d]:-${{opt_args[--domain]:-${{operands[1]}}}}}}
}}

_dkimctl_selectors() {{
    local domain=$(_dkimctl_domain)
    local -a selectors=($etc/keys/${{domain:-*}}/*.private(N:t:r))
    _describe selector selectors
}}

_dkimctl_domain_and_selectors() {{
    if [[ -n $(_dkimctl_domain) ]]; then _dkimctl_selectors; else _dkimctl_domains; fi
}}

_dkimctl() {{
    local curcontext=$curcontext state line etc
    local -A opt_args
    local -a common=(
"
        );
        for option in COMMON {
            text.push_str(&format!("        {}\n", specification(option)));
        }
        text.push_str(
            r#"    )
    _arguments -C -s $common '1:subcommand:->subcommand' '*::argument:->argument' && return
    etc=${opt_args[--etc]:-${SENDMAIL_DKIM_ETC:-/etc/sendmail-dkim}}
    case $state in
    subcommand)
        local -a subcommands=(
"#,
        );
        for command in SUBCOMMANDS {
            text.push_str(&format!("            '{}:{}'\n", command.name(), command.summary()));
        }
        text.push_str(
            r"        )
        _describe subcommand subcommands
        ;;
    argument)
        case $words[1] in
",
        );
        for command in SUBCOMMANDS {
            text.push_str(&format!(
                "        {})\n            _arguments -s $common",
                command.name()
            ));
            for option in command.options {
                text.push_str(&format!(" \\\n                {}", specification(option)));
            }
            let mut operands = action(Kind::of_operands(command));
            if command.usage().contains("--merge FILE...") {
                operands = format!("{{ (( $words[(I)--merge] )) && _files || {operands} }}");
            }
            match command.most_operands() {
                0 => {}
                1 => text.push_str(&format!(" \\\n                '1:operand:{operands}'")),
                _ => text.push_str(&format!(" \\\n                '*:operand:{operands}'")),
            }
            text.push_str("\n            ;;\n");
        }
        text.push_str("        esac\n        ;;\n    esac\n}\n\n_dkimctl \"$@\"\n");
        text
    }
}

mod fish {
    use super::*;

    const FUNCTIONS: &str = r#"
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
"#;

    fn arguments(kind: Kind) -> String {
        match kind {
            Kind::Nothing => "-x".to_owned(),
            Kind::Directory => "-x -a '(__fish_complete_directories (commandline -ct))'".to_owned(),
            Kind::File => "-r -F".to_owned(),
            Kind::Domain => "-x -a '(__dkimctl_domains)'".to_owned(),
            Kind::Selector => "-x -a '(__dkimctl_selectors)'".to_owned(),
            Kind::DomainAndSelectors => "-x -a '(__dkimctl_domain_and_selectors)'".to_owned(),
            Kind::User => "-x -a '(__fish_complete_users)'".to_owned(),
            Kind::Words(words) => format!("-x -a '{}'", words.replace('|', " ")),
        }
    }

    fn option(option: &Opt) -> String {
        let (name, placeholder) = option.parts();
        let letter = letter(option).map_or_else(String::new, |letter| format!(" -s {letter}"));
        let value = if placeholder.is_empty() {
            String::new()
        } else {
            format!(" {}", arguments(Kind::of(placeholder)))
        };
        format!("{letter} -l {}{value} -d {}", name.replace("--", ""), quoted(option.1))
    }

    pub(super) fn text() -> String {
        let mut text = format!("# Completion of dkimctl(8) for fish.\n{NOTE}\n{FUNCTIONS}");
        for common in COMMON {
            text.push_str(&format!("complete -c dkimctl{}\n", option(common)));
        }
        for command in SUBCOMMANDS {
            text.push_str(&format!(
                "complete -c dkimctl -n '__dkimctl_is' -a {} -d {}\n",
                command.name(),
                quoted(command.summary())
            ));
        }
        for command in SUBCOMMANDS {
            let is = format!("complete -c dkimctl -n '__dkimctl_is {}'", command.name());
            for one in command.options {
                text.push_str(&format!("{is}{}\n", option(one)));
            }
            match Kind::of_operands(command) {
                Kind::Domain => text.push_str(&format!("{is} -a '(__dkimctl_domains)'\n")),
                Kind::DomainAndSelectors => {
                    text.push_str(&format!("{is} -a '(__dkimctl_domain_and_selectors)'\n"));
                }
                Kind::File => text.push_str(&format!("{is} -F\n")),
                Kind::Selector | Kind::Nothing | Kind::Directory | Kind::User | Kind::Words(_) => {}
            }
            if command.usage().contains("--merge FILE...") {
                let condition =
                    format!("__dkimctl_is {}; and __fish_contains_opt merge", command.name());
                text.push_str(&format!("complete -c dkimctl -n '{condition}' -F\n"));
            }
        }
        text
    }
}

#[test]
fn the_completions_are_made_of_the_tables() {
    assert_file("packaging/completions/dkimctl.bash", &bash::text());
    assert_file("packaging/completions/_dkimctl", &zsh::text());
    assert_file("packaging/completions/dkimctl.fish", &fish::text());
}
