#!/bin/sh
":" /* lvguard, a libvirt qemu hook: shell down to exec, and to JavaScript a comment.
# libvirt gives four words; more, or others, in a future version are its own too, unless the first is an option, or a later one is an
# option of lvguard. A domain may be called like one: then the third word tells.
call="hook"
[ $# -ge 4 ] || call="admin"
case $1 in
-*) case $#:$3 in 4:begin|4:end|4:-) ;; *) call="admin" ;; esac ;;
esac
at=0
for word; do
  at=$((at + 1))
  case $at:$2:$word in [12]:*|*:reconnect:*) ;; *:--dry-run|*:--json|*:--xml|*:--help|*:-h) call="admin" ;; esac
done
# Called by its own name it is a person's: an operation that libvirt does not have is a slip there, and not one of a future libvirt.
# A slash behind an asterisk would end the comment.
case $0 in
*[/]hooks/*) ;;
lvguard|*[/]lvguard)
  case $2:$3 in
  reconnect:*|prepare:begin|start:begin|started:begin|restore:begin|migrate:begin|attach:begin|stopped:end|release:end) ;;
  *) call="admin" ;;
  esac ;;
esac
handled=no
if [ $call = hook ]; then
  # R5: a non-zero exit of reconnect kills a running VM. Nothing comes before this.
  case $2 in
  start|started|stopped|reconnect|attach) exit 0 ;;
  restore)
    # Nothing that lvguard knows of was saved here.
    for file in "$LVGUARD_ROOT"/var/lib/lvguard/saved/*.json; do [ -e "$file" ] && handled=yes; break; done
    [ $handled = yes ] || exit 0 ;;
  prepare|release|migrate) handled=yes ;;
  esac
  # libvirt's session daemons run the hook too, as their user. -O is no POSIX, but no wrong answer either: else id decides.
  [ -O / ] 2>/dev/null || [ "$(id -u)" = 0 ] || exit 0
fi
# lvm.conf's lvmlockctl_kill_command: the lease of this host is lost. The mark keeps VMs of that VG from starting, and wakes the agent, which asks sanlock
# and does the rest with a Node that runs already (src/kill/mark.ts); this call is the second way. A person is asked first (src/cli/kill.ts).
if [ "$call $1 $#" = "admin kill 2" ]; then
  parent=""
  read -r parent 2> /dev/null < "/proc/$PPID/comm"
  case $parent:$2 in
  lvmlockctl:*[!A-Za-z0-9+_.-]*|lvmlockctl:|lvmlockctl:-*|lvmlockctl:.|lvmlockctl:..) ;;
  # No `:`, at which a shell ends when it cannot write.
  lvmlockctl:*) true 2> /dev/null >> "$LVGUARD_ROOT/run/lvguard/$2.killed" ;;
  esac
fi
# `nohup lvguard with`: Node forgets at its start that SIGHUP is ignored (bit 0 of SigIgn, proc(5)).
if [ "$call $1" = "admin with" ]; then
  while read -r key value; do
    case $key:$value in SigIgn:*[13579bdf]) export LVGUARD_NOHUP=1 ;; esac
  done 2> /dev/null < /proc/self/status
fi
for node in node /usr/bin/node /usr/local/bin/node; do
  case $node in /*) [ -x "$node" ] ;; *) command -v "$node" > /dev/null ;; esac || continue
  # Nothing to do but to log it: a Node that is broken must not matter.
  if [ $call$handled = hookno ]; then "$node" "$0" "$@"; exit 0; fi
  # exec, so that libvirt waits for one process and its AppArmor profile is left behind (FACTS 10).
  # The agent stays for months and does little: a tenth less resident with 500 VMs (Node 20).
  [ "$call $1" = "admin agent" ] && exec "$node" --optimize-for-size "$0" "$@"
  exec "$node" "$0" "$@"
done
# The `prepare` that follows a `restore` refuses. If `restore` did, libvirt 11.3 would remove the saved memory (src/acts/saved.ts).
case $call:$handled:$2 in hook:no:*|hook:*:restore) exit 0 ;; esac
echo "lvguard: Node.js 18.19 or newer is needed and none was found in $PATH (apt install nodejs)." >&2
exit 1
*/
