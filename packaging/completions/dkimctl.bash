# Completion of dkimctl(8) for bash. It asks dkimctl itself: what a --help shows can be completed, and nothing is listed twice.
_dkimctl() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} program=$1 subcommand= at help
    COMPREPLY=()
    for ((at = 1; at < COMP_CWORD; at++)); do
        case ${COMP_WORDS[at]} in
        --etc) ((at++)) ;;
        -*) ;;
        *) subcommand=${COMP_WORDS[at]}; break ;;
        esac
    done
    help=$("$program" $subcommand --help 2>/dev/null) || return
    # The value of an option: a name in capitals behind it.
    if [[ $before == -?* && $help =~ (^|[[:space:]])"$before"(,\ --[a-z-]+)?\ ([A-Z]+) ]]; then
        case ${BASH_REMATCH[3]} in
        DIR | FOLDER) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
        FILE | PATH) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        *) return ;;
        esac
    fi
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "--help $(grep -oE '^ +(-[a-zA-Z], )?--[a-z-]+' <<<"$help" | grep -oE -- '--[a-z-]+')" -- "$word")
    elif [[ -z $subcommand ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(sed -nE 's/^  ([a-z][a-z-]*)  .*/\1/p' <<<"$help")" -- "$word")
    else
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}
complete -F _dkimctl dkimctl
