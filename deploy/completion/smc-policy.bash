# SPDX-License-Identifier: Apache-2.0
# bash completion for smc-policy. Commands and flags are asked of the program itself, so that
# this file does not have to know them.

# The names in one section of a help text ("Subcommands:", "Options:"), one a line.
_smc_policy_words() {
    local section=$1 line inside='' word
    shift
    while IFS= read -r line; do
        case $line in
        "$section") inside=1 ;;
        [!\ ]* | '') [ "$line" = '' ] || inside='' ;;
        *)
            [ -n "$inside" ] || continue
            read -r word _ <<<"$line"
            printf '%s\n' "${word//,/$'\n'}"
            ;;
        esac
    done < <("$@" --help 2>/dev/null)
}

_smc_policy() {
    local program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]}
    local previous=${COMP_WORDS[COMP_CWORD - 1]} command='' word words
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $word in
        -*) ;;
        *) [ -n "$command" ] || command=$word ;;
        esac
    done
    COMPREPLY=()
    case $previous in
    --direction) words='out in both' ;;
    --via) words='smc direct' ;;
    --workload) words='cgroup: unit: container: pod: namespace: label: uid: netns: command:' ;;
    --policy | --socket)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    *)
        if [ -z "$command" ]; then
            words="$(_smc_policy_words Subcommands: "$program") $(_smc_policy_words Options: "$program")"
        else
            case $command:$current in
            check:[!-]* | diff:[!-]* | apply:[!-]* | check: | diff: | apply:)
                mapfile -t COMPREPLY < <(compgen -f -- "$current")
                return
                ;;
            esac
            words=$(_smc_policy_words Options: "$program" "$command")
        fi
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    # The value of --workload goes on after its colon.
    case ${COMPREPLY[*]} in
    *:) compopt -o nospace 2>/dev/null ;;
    esac
}

complete -F _smc_policy smc-policy
