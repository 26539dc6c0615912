# Sourced by the other scripts before anything is installed: --help, and wrong arguments.

usage() { # the first comment of the script
    awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
}

refuse() { # REASON
    printf '%s\n\n' "$1" >&2
    usage >&2
    exit 2
}

at_most() { # NUMBER ARGUMENT...
    [ $# -le $(($1 + 1)) ] || refuse "${*: -1}: one argument too many"
}

folder_given() { # [FOLDER]: its whole path, or nothing without one
    [ $# -gt 0 ] || return 0
    [ -d "$1" ] || refuse "$1: no such folder"
    (cd "$1" && pwd)
}

for argument in "$@"; do
    case $argument in
    -h | --help)
        usage
        exit 0
        ;;
    -*) refuse "$argument: unknown option" ;;
    esac
done
