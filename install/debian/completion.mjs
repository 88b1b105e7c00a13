/** Completion of the command line for bash, from the table of verbs. */
import { verbs } from './source.mjs'

const VMS = 'virsh -q list --all --name 2> /dev/null'
/** What can stand for an operand of that name; others are free. None of it reads a disk, which may hang. */
const OPERANDS = {
  DOMAIN: VMS,
  NAME: VMS,
  VM: VMS,
  VG: "lvmlockctl --info 2> /dev/null | sed -n 's/^LS [a-z]* lvm_//p'",
  // Those that the definitions of VMs name.
  'VG/LV': `sed -n "s|.*<source dev='/dev/\\([A-Za-z0-9+_.-]*/[A-Za-z0-9+_.-]*\\)'.*|\\1|p" /etc/libvirt/qemu/*.xml 2> /dev/null | grep -v '^mapper/'`,
}

/** /usr/share/bash-completion/completions/lvguard */
export async function completion() {
  const table = await verbs()
  const cases = Object.entries(table).map(([name, { operands, options }]) => {
    const words = [...Object.keys(options).map((option) => `--${option}`), '--help'].join(' ')
    const names = Object.entries(OPERANDS).filter(([operand]) => operands.split(/[ |.[\]]+/).includes(operand)).map(([, command]) => command)
    return `        ${name}) words='${words}'${names.length === 0 ? '' : `; names=$(${names.join('; ')})`} ;;`
  })
  return `# Completion of lvguard(8) for bash                                     -*- shell-script -*-
_lvguard() {
    local current=\${COMP_WORDS[COMP_CWORD]} words='' names='' word
    if [ "$COMP_CWORD" -eq 1 ]; then
        words='${[...Object.keys(table), '--help', '--version'].join(' ')}'
    else
        case \${COMP_WORDS[1]} in
${cases.join('\n')}
        esac
    fi
    # Names of VMs stand one a line, with spaces and with signs that a shell would take for its own: no compgen, which expands them.
    COMPREPLY=()
    while IFS= read -r word; do
        if [[ -n $word && $word == "$current"* ]]; then COMPREPLY+=("$(printf %q "$word")"); fi
    done <<< "\${words// /$'\\n'}"$'\\n'"$names"
    if [[ \${COMP_WORDS[1]} = check-config || \${COMP_WORDS[COMP_CWORD - 1]} = --xml ]]; then compopt -o default; fi
}
complete -F _lvguard lvguard
`
}
