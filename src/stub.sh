#!/bin/sh
":" /* lvguard, a libvirt qemu hook: shell down to exec, and to JavaScript a comment.
# libvirt gives four words. More, from a future version, are taken for its own unless the first is an option.
case $#:$1 in
0:*|1:*|2:*|3:*) call="admin" ;;
4:*) case $3 in begin|end|-) call="hook" ;; *) call="admin" ;; esac ;;
*:-*) call="admin" ;;
*) call="hook" ;;
esac
handled=no
if [ $call = hook ]; then
  # R5: a non-zero exit of reconnect kills a running VM. Nothing comes before this.
  case $2 in
  start|started|stopped|restore|reconnect|attach) exit 0 ;;
  prepare|release|migrate) handled=yes ;;
  esac
  # libvirt's session daemons run the hook too, as their user. -O is no POSIX, but no wrong answer either: else id decides.
  [ -O / ] 2>/dev/null || [ "$(id -u)" = 0 ] || exit 0
fi
for node in "$(command -v node)" /usr/bin/node /usr/local/bin/node; do
  # exec, so that libvirt waits for one process and its AppArmor profile is left behind (FACTS 10).
  [ -x "$node" ] && exec "$node" "$0" "$@"
done
[ $call = hook ] && [ $handled = no ] && exit 0
echo "lvguard: Node.js 18.19 or newer is needed and none was found in $PATH (apt install nodejs)." >&2
exit 1
*/
