#!/bin/bash
# Two hosts on one machine, with the real lvm2, lvmlockd and sanlock, in two mount namespaces. No VM and no
# device-mapper: every lock is real, no device appears (global/activation=0). The shared VG is virtVG; sanlock knows the
# hosts as host1 and host2. Each has a network namespace too, without a network: `lvmlockctl -i` takes an abstract
# socket, which two hosts must not share.
set -euo pipefail

usage() {
  cat <<'E'
hosts.sh check                  says why this machine cannot have the two hosts (exit 1), or nothing
hosts.sh up DIR                 makes both, in a folder that is new or empty (6 s); logs are in DIR/hN
hosts.sh hold DIR               up, prints "up", down as soon as its standard input ends
hosts.sh run DIR N CMD...       a command on host N (1 or 2), with the little environment that libvirtd gives to a hook
hosts.sh pid DIR N              a process that lives as long as the host: nsenter -t PID -m -n, /proc/PID/root
hosts.sh pause-locking DIR N    SIGSTOP to lvmlockd; resume-locking: SIGCONT
hosts.sh stop-locking DIR N     SIGKILL to lvmlockd; start-locking: a new one, with the locks of the old one
hosts.sh quiet DIR N            ends everything on the host but the two daemons, and resumes lvmlockd
hosts.sh crash DIR N            everything on the host ends at once, /run is emptied; start-locking boots it (no locks then)
hosts.sh down DIR               ends all processes of both hosts and removes DIR
E
  exit 64
}

die() { echo "hosts.sh: $*" >&2; exit 1; }

# sanlock's unit of time. Its default of 10 s makes a lockspace start take 20 s, and the locks of a dead host stay for
# 140 s; with 1 s it is 3 s and 68 s. Under a load of six busy loops and three writers with fsync no renewal took more
# than 0.11 s.
readonly io_timeout=1
# MiB for leases, as many volumes less 67. LVM's default of 256 costs another second.
readonly lease_size=${LVGUARD_TEST_LEASES:-128}
readonly search=/usr/sbin:/usr/bin:/sbin:/bin

check() {
  [ "$(id -u)" = 0 ] || die "must be root"
  local need
  for need in lvm:lvm2 lvmlockd:lvm2-lockd lvmlockctl:lvm2-lockd sanlock:sanlock nsenter:util-linux unshare:util-linux losetup:mount; do
    PATH=$search command -v "${need%:*}" > /dev/null || die "${need%:*} is missing (package ${need#*:})"
  done
  [ -e /proc/self/ns/mnt ] || die "no /proc"
  # Who enters a mount namespace stands in its root, which a chroot is not.
  [ "$(nsenter -t $$ -m stat -c %d:%i / 2> /dev/null)" = "$(stat -c %d:%i /)" ] || die "this is a chroot, or namespaces cannot be entered"
  losetup -f > /dev/null 2>&1 || die "no loop devices"
  unshare -m -n true 2> /dev/null || die "no mount or network namespaces"
  unshare -m sh -c 'mount -t tmpfs tmpfs /mnt && mkdir /mnt/u /mnt/w && mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/u,workdir=/mnt/w /etc' \
    2> /dev/null || die "no tmpfs or overlay mounts"
}

# Repeats a command until it succeeds: wait_for WHAT SECONDS CMD...
wait_for() {
  local what=$1 end=$((SECONDS + $2))
  shift 2
  until "$@"; do
    ((SECONDS <= end)) || die "waited in vain for $what"$'\n'"$(tail -n 5 "$DIR"/h?/*.log 2> /dev/null)"
    sleep 0.05
  done
}

start_time() { [ -r "/proc/$1/stat" ] && sed 's/.*) //' "/proc/$1/stat" 2> /dev/null | cut -d ' ' -f 20; }

# The process that keeps host N's namespace, if it lives: a process id alone may have passed on to somebody else.
keeper() {
  local pid started
  read -r pid started 2> /dev/null < "$DIR/h$1/keeper" && [ "$(start_time "$pid")" = "$started" ] && echo "$pid"
}

# All processes of host N: those that see this very folder as their /etc/lvm. Finds children of killed hooks, too.
members() {
  local process
  for process in /proc/[0-9]*; do
    [ "$process/root/etc/lvm" -ef "$DIR/h$1/lvm" ] && echo "${process#/proc/}"
  done
  return 0
}

# The daemon NAME of host N
daemon() {
  local pid
  for pid in $(members "$1"); do
    if [ "$(cat "/proc/$pid/comm" 2> /dev/null)" = "$2" ]; then echo "$pid"; fi
  done
}

# Sends a signal to each process that a command lists: send KILL members 1
send() {
  local pid
  for pid in $("${@:2}"); do kill "-$1" "$pid" 2> /dev/null || true; done
  return 0
}

none_of() { [ -z "$("$@")" ]; }

in_host() {
  local pid
  pid=$(keeper "$1")
  shift
  exec nsenter -t "$pid" -m -n env -i LC_ALL=C PATH="$search" "$@"
}

# A command of our own on host N: its output is shown only if it fails.
quietly() {
  local said
  said=$(in_host "$1" LVM_SUPPRESS_FD_WARNINGS=1 timeout 60 "${@:2}" 2>&1 < /dev/null) || die "host$1: ${*:2}: $said"
}

start_daemons() {
  local n=$1 run socket
  run=/proc/$(keeper "$n")/root/run
  socket=$run/sanlock/sanlock.sock
  # Of daemons that were killed. The last thread of an old sanlock may still be dying, with the lock on its pid file.
  rm -f "$socket" "$run/sanlock/sanlock.pid" "$run/lvm/lvmlockd.socket" "$run/lvmlockd.pid"
  # As root sanlock wants limits that a container may not give it, and a watchdog that would reset this machine.
  (in_host "$n" SANLOCK_PRIVILEGED=0 setsid sanlock daemon -D -w 0 -h 0 -l 0 -U root -G root -e "host$n") < /dev/null >> "$DIR/h$n/sanlock.log" 2>&1 &
  wait_for "sanlock of host$n" 10 test -S "$socket"
  disown
  (in_host "$n" setsid lvmlockd --daemon-debug --sanlock-timeout "$io_timeout") < /dev/null >> "$DIR/h$n/lvmlockd.log" 2>&1 &
  wait_for "lvmlockd of host$n" 10 test -S "$run/lvm/lvmlockd.socket"
  disown
}

# LVM's own waiting looks every 2 s only.
lockspace_is_ready() {
  case $( (in_host "$1" LVM_SUPPRESS_FD_WARNINGS=1 timeout 60 lvs virtVG) 2>&1 < /dev/null) in
    *'in progress'* | *'without a lock'* | *failed*) return 1 ;;
  esac
}

furnish() {
  local n=$1 H=$DIR/h$1 dev=$DIR/h$1/dev major minor
  mount --make-rprivate /
  mount -t tmpfs tmpfs "$dev"
  cp -a /dev/{null,zero,full,random,urandom,tty,fd,stdin,stdout,stderr} "$dev"
  mkdir "$dev/mapper" "$dev/shm"
  read -r major minor < "$DIR/pv"
  mknod "$dev/pv" b "$major" "$minor"
  read -r major minor < "$DIR/leases"
  mknod "$dev/mapper/virtVG-lvmlock" b "$major" "$minor"
  mount --move "$dev" /dev
  mount -t tmpfs tmpfs /sys/block # this machine's own devices are no matter of the hosts
  mount -t tmpfs tmpfs /run
  mkdir -p /run/lvm /run/lock/lvm /run/sanlock /run/libvirt/qemu /run/overlay/{etc,log,lib}/{upper,work}
  # Where libvirt is not installed its folders are made in an overlay, not on this machine.
  mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/overlay/etc/upper,workdir=/run/overlay/etc/work /etc
  mount -t overlay overlay -o lowerdir=/var/log,upperdir=/run/overlay/log/upper,workdir=/run/overlay/log/work /var/log
  mount -t overlay overlay -o lowerdir=/var/lib,upperdir=/run/overlay/lib/upper,workdir=/run/overlay/lib/work /var/lib
  mkdir -p /etc/libvirt /var/log/libvirt
  mount -t tmpfs tmpfs /etc/libvirt
  mount -t tmpfs tmpfs /var/log/libvirt
  mount -t tmpfs tmpfs /var/cache
  mkdir /etc/libvirt/qemu
  cat > "$H/lvm/lvm.conf" <<E
global { use_lvmlockd = 1 activation = 0 sanlock_lv_extend = $lease_size }
devices {
  dir = "/dev" scan = [ "/dev" ] filter = [ "a|^/dev/pv$|", "r|.*|" ] use_devicesfile = 0
  obtain_device_list_from_udev = 0 external_device_info_source = "none" hints = "none"
}
backup { backup = 0 archive = 0 }
E
  echo "local { host_id = $n }" > "$H/lvm/lvmlocal.conf"
  mount --bind "$H/lvm" /etc/lvm
}

in_own_namespace() { [ "$(readlink "/proc/$1/ns/mnt")" != "$(readlink "/proc/$$/ns/mnt")" ]; }

up() {
  check
  case $DIR/ in /run/* | /dev/* | /etc/* | /var/log/*) die "$DIR is in a folder that each host has for itself" ;; esac
  mkdir -p "$DIR"
  [ -z "$(ls -A "$DIR")" ] || die "$DIR is not empty"
  # Whatever happens from here on until the end of `up`, nothing is left behind. Without `hold`, the trap is lifted at
  # the end.
  trap 'undo $?' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  local pv leases n pid
  truncate -s "$((lease_size + 1100))M" "$DIR/disk"
  pv=$(losetup -f --show "$DIR/disk")
  # lvmlockd opens /dev/mapper/virtVG-lvmlock; with activation off, a second loop device stands where LVM puts that LV,
  # 1 MiB into the PV.
  leases=$(losetup -f --show -o 1M --sizelimit "${lease_size}M" "$DIR/disk")
  stat -c '0x%t 0x%T' "$pv" > "$DIR/pv"
  stat -c '0x%t 0x%T' "$leases" > "$DIR/leases"
  for n in 1 2; do
    mkdir -p "$DIR/h$n"/{lvm,dev}
    setsid unshare -m -n sleep infinity < /dev/null > /dev/null 2>&1 &
    pid=$!
    echo "$pid $(start_time "$pid")" > "$DIR/h$n/keeper"
    disown
    wait_for "the namespace of host$n" 5 in_own_namespace "$pid"
    nsenter -t "$pid" -m -n bash "$self" furnish "$DIR" "$n"
    start_daemons "$n"
  done
  quietly 1 vgcreate --shared --lock-opt nowait virtVG /dev/pv
  quietly 2 vgchange --lock-start --lock-opt nowait virtVG
  for n in 1 2; do wait_for "the lockspace of host$n" 60 lockspace_is_ready "$n"; done
}

# The locks that a killed lvmlockd left with sanlock: `ey UUID` or `sy UUID` each
orphans() {
  (in_host "$1" timeout 10 sanlock client status) 2> /dev/null |
    sed -nE '/ ORPHAN/{/^r lvm_virtVG:.{38}:/{/:SH p /{s/^r lvm_virtVG:([^:]*):.*/sy \1/p;b}; s/^r lvm_virtVG:([^:]*):.*/ey \1/p}}'
}

# lvmlockd's own `--adopt 1` needs device-mapper to tell which LVs are active, and gives the whole lockspace up without
# it (measured). So the host joins again, which ends the old locks, and takes at once what it had. Until it has joined,
# sanlock's leases on the disk keep the other host out; then for 0.1 s nothing does.
start_locking() {
  local n=$1 held mode uuid
  held=$(orphans "$n" || true)
  send KILL daemon "$n" lvmlockd
  send KILL daemon "$n" sanlock
  wait_for "the end of host$n's old daemons" 10 none_of daemon "$n" sanlock
  start_daemons "$n"
  quietly "$n" vgchange --lock-start --lock-opt nowait virtVG
  wait_for "the lockspace of host$n" 120 lockspace_is_ready "$n"
  while read -r mode uuid; do
    if [ -n "$uuid" ]; then quietly "$n" lvchange "-a$mode" --select "lv_uuid=$uuid" virtVG; fi
  done <<< "$held"
}

stop_locking() {
  send KILL daemon "$1" lvmlockd
  wait_for "the end of host$1's lvmlockd" 10 none_of daemon "$1" lvmlockd
}

others_than_keeper() { members "$1" | grep -vx "$(keeper "$1")" || true; }

visitors() {
  local pid
  for pid in $(others_than_keeper "$1"); do
    case $(cat "/proc/$pid/comm" 2> /dev/null) in sanlock | sanlock-helper | lvmlockd | '') ;; *) echo "$pid" ;; esac
  done
}

quiet() {
  send CONT daemon "$1" lvmlockd
  send KILL visitors "$1"
  wait_for "the end of what ran on host$1" 10 none_of visitors "$1"
}

crash() {
  local root
  root=/proc/$(keeper "$1")/root
  send KILL others_than_keeper "$1"
  wait_for "the end of host$1" 10 none_of others_than_keeper "$1"
  rm -rf "$root/run/lvguard" "$root"/run/libvirt/qemu/*
}

down() {
  local n loop
  # What an `up` that was interrupted has only just started; `jobs`, so that bash does not tell their end later.
  { send KILL jobs -p && wait && jobs; } > /dev/null 2>&1 || true
  for n in 1 2; do
    until none_of members "$n"; do
      send KILL members "$n"
      sleep 0.02
    done
    send KILL keeper "$n"
  done
  # The kernel knows best which loop devices are ours: a signal may have come before this program could write one down.
  for loop in $(losetup -j "$DIR/disk" -n -O NAME); do losetup -d "$loop" || true; done
  wait_for "the end of its loop devices" 10 none_of losetup -j "$DIR/disk"
  rm -rf "$DIR"
}

undo() {
  trap '' INT TERM HUP
  down
  exit "$1"
}

self=$(readlink -f "$0")
[ $# -ge 1 ] || usage
verb=$1
[ "$verb" != check ] || { check; exit 0; }
[ $# -ge 2 ] || usage
DIR=$(readlink -m "$2")
shift 2
case $verb in
  up | hold | down) ;;
  *)
    case ${1-} in 1 | 2) ;; *) usage ;; esac
    keeper "$1" > /dev/null || die "host $1 of $DIR is not up"
    ;;
esac
case $verb in
  up)
    up
    trap - EXIT
    ;;
  hold)
    up
    echo up
    while read -r _; do :; done
    ;;
  run) in_host "$@" ;;
  pid) keeper "$1" ;;
  pause-locking) send STOP daemon "$1" lvmlockd ;;
  resume-locking) send CONT daemon "$1" lvmlockd ;;
  stop-locking) stop_locking "$1" ;;
  start-locking) start_locking "$1" ;;
  quiet) quiet "$1" ;;
  crash) crash "$1" ;;
  down)
    [ -e "$DIR/disk" ] || die "$DIR was not made by hosts.sh"
    down
    ;;
  furnish) furnish "$1" ;;
  *) usage ;;
esac
