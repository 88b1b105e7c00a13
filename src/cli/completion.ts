import { VERB_NAMES, verbOf } from './verbs.ts'

/** What an operand stands for, by the word that usage has for it. */
const KINDS: readonly (readonly [RegExp, string])[] = [
  [/\b(?:VM|DOMAIN|NAME)\b/, 'vms'],
  [/VG\/LV/, 'volumes'],
  [/(?:^|[[|])VG(?:$|[\]|])/, 'vgs'],
  [/FILE/, 'files'],
]

/**
 * The completion of bash, from the same table as `--help`: verbs, options, VMs, volumes. It asks libvirt and LVM, and
 * takes no lock.
 */
export function bashCompletion(): string {
  const verbs = VERB_NAMES.map((name) => {
    const { options, operands } = verbOf(name)
    const kinds = KINDS.filter(([pattern]) => pattern.test(operands)).map(([, kind]) => kind)
    return `        ${name}) options='${Object.keys(options)
      .map((option) => `--${option}`)
      .join(' ')}' kinds='${kinds.join(' ')}' ;;`
  })
  return `# bash completion of lvguard. From src/cli/verbs.ts, by npm run man.
_lvguard() {
    local current=\${COMP_WORDS[COMP_CWORD]} verb='' word options='' kinds='' kind words=''
    for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $word in
            ${VERB_NAMES.join(' | ')}) verb=$word; break ;;
        esac
    done
    case $verb in
        '') options='${VERB_NAMES.filter((name) => !name.startsWith('-')).join(' ')} --dry-run --help --version' ;;
${verbs.join('\n')}
    esac
    [ -z "$verb" ] || options="$options --help"
    words=\${options// /$'\\n'}
    for kind in $kinds; do
        case $kind in
            vms) words+=$'\\n'$(virsh --quiet list --all --name 2> /dev/null) ;;
            volumes) words+=$'\\n'$(lvs --nolocking --noheadings --separator / -o vg_name,lv_name 2> /dev/null) ;;
            vgs) words+=$'\\n'$(vgs --nolocking --noheadings -o vg_name 2> /dev/null) ;;
            files) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        esac
    done
    # compgen -W would expand a name as a shell does, and run what stands in it.
    while read -r word; do
        [[ -z $word || $word != "$current"* ]] || COMPREPLY+=("$(printf %q "$word")")
    done <<< "$words"
}
complete -F _lvguard lvguard
`
}
