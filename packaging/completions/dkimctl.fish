# Completion of dkimctl(8) for fish. It asks dkimctl itself: what a --help shows can be completed, and nothing is listed twice.

function __dkimctl_subcommand
    set -l words (commandline -opc)
    set -e words[1]
    while set -q words[1]
        switch $words[1]
            case --etc
                set -e words[1]
            case '-*'
            case '*'
                echo $words[1]
                return
        end
        set -e words[1]
    end
end

function __dkimctl_help
    dkimctl (__dkimctl_subcommand) --help 2>/dev/null
end

# Subcommands where none is given yet; after an option with a value, or behind a subcommand, files.
function __dkimctl_complete
    set -l before (commandline -opc)[-1]
    set -l value (__dkimctl_help | string match -r -- "(?:^|\s)$before(?:, --[a-z-]+)? ([A-Z]+)")[2]
    if string match -q -- '-*' $before; and test -n "$value"
        string match -qr '^(DIR|FOLDER|FILE|PATH)$' -- $value; and __fish_complete_path (commandline -ct)
        return
    end
    if string match -q -- '-*' (commandline -ct)
        __dkimctl_help | string replace -rf '^ +(?:-[a-zA-Z], )?(--[a-z-]+)(?: [A-Z]+)?(?: +(.*))?$' '$1\t$2'
        echo --help
    else if test -z (__dkimctl_subcommand)
        __dkimctl_help | string replace -rf '^  ([a-z][a-z-]*)  +(.*)$' '$1\t$2'
    else
        __fish_complete_path (commandline -ct)
    end
end

complete -c dkimctl -f -a '(__dkimctl_complete)'
