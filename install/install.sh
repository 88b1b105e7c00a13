#!/bin/sh
# Installs lvguard on this host, or takes it away; `install.sh --help` says how. Run it as often as you like.
#
# No half-state: first everything is looked at and refused if need be, then every new file is written beside the old one
# (a full disk ends here), then the new files are renamed over the old ones, the hook last. libvirt never sees half a file.
set -eu
umask 022
LC_ALL=C
export LC_ALL
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin

usage() {
    cat <<'USAGE'
Usage: install.sh [--keep-existing] [--destdir DIR]
       install.sh --uninstall [--destdir DIR]
       install.sh --help

Installs lvguard, the libvirt qemu hook (built with npm first if dist/qemu is missing):
  /etc/libvirt/hooks/qemu     the hook
  /usr/sbin/lvguard           the same program as a command (a link)
  /etc/libvirt/lvguard.conf   its configuration, all defaults; an existing one is kept
  /etc/logrotate.d/lvguard    rotation of its log; an existing one is kept
  /etc/systemd/system/lvguard.service     the agent, which is enabled and started
  /etc/systemd/system/{libvirtd,virtqemud,libvirt-guests}.service.d/lvguard.conf
                              VMs start after the lockspaces of their volumes, and stop before them
and has the running libvirt daemon look for its hooks again. No domain is touched.

  --keep-existing  another /etc/libvirt/hooks/qemu moves to /etc/libvirt/hooks/qemu.d/, where libvirt 6.5 and newer
                   runs it after lvguard; without this option it is refused
  --destdir DIR    install below DIR (to make a package); this host is neither checked nor told
  --uninstall      remove the hook, the command, the agent and the log rotation; everything else stays, and is named

Exit status: 0 done, 1 refused or failed, 2 wrong arguments.
USAGE
}

# Nobody reading is no reason to stop half-way.
say() { printf '%s\n' "$*" 2>/dev/null || :; }
warn() { printf 'warning: %s\n' "$*" >&2 || :; }

# fail WHAT [WHAT-TO-DO]
fail() {
    printf 'install.sh: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '%s\n' "$@" >&2
    exit 1
}

misuse() {
    printf 'install.sh: %s\n' "$1" >&2
    usage >&2
    exit 2
}

# --- what is there

exists() { [ -e "$1" ] || [ -L "$1" ]; }

# The one way to know our own hook: its header says so.
is_ours() { [ -f "$1" ] && sed -n '2,6p;6q' "$1" 2>/dev/null | grep -qF 'lvguard, a libvirt qemu hook'; }

# The command, a link to the hook. It is ours without the hook too, and as a copy or a link to a copy.
has_our_target() { [ -L "$link" ] && [ "$(readlink "$link")" = "$link_target" ]; }
is_our_link() { has_our_target || is_ours "$link"; }

# same SOURCE FILE MODE: FILE is a plain file of that content and mode, and belongs to who runs this
same() {
    cmp -s "$1" "$2" && [ -n "$(find "$2" -prune -type f -perm "$3" -user "$(id -u)")" ]
}

# One and the same file under two names, by a hard or a symbolic link.
is_same_file() { [ -e "$1" ] && [ -n "$(find -L "$1" -prune -samefile "$2" 2>/dev/null)" ]; }

# at_least MAJOR.MINOR MAJOR.MINOR...: the second is the first or newer
at_least() {
    case $2 in [0-9]*.[0-9]*) ;; *) return 1 ;; esac
    minor=${2#*.}
    [ "${2%%.*}" -gt "${1%%.*}" ] || { [ "${2%%.*}" -eq "${1%%.*}" ] && [ "${minor%%.*}" -ge "${1#*.}" ]; }
}

# --- checks of this host; not with --destdir

# libvirt hands its own PATH to the hook, which is systemd's for services. Whatever else is in the PATH of the person who
# installs (nvm, ~/bin) does not help the hook.
daemon_path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

check_node() {
    node=$(PATH=$daemon_path; command -v node || :)
    if [ -z "$node" ]; then
        mine=$(command -v node || :)
        [ -z "$mine" ] || fail "Node is only at $mine, where libvirt's daemon does not look; nothing was changed." \
            "Install Debian's nodejs, or link it: ln -s $mine /usr/local/bin/node"
        fail 'Node is missing, and the hook runs on it; nothing was changed.' \
            'Install Node 18.19 or newer (Debian: apt install nodejs) and run this again.'
    fi
    version=$("$node" --version 2>/dev/null || :)
    at_least 18.19 "${version#v}" || fail "$node is ${version:-of unknown age}, too old for the hook; nothing was changed." \
        'Install Node 18.19 or newer and run this again.'
}

systemd_runs() { [ -d /run/systemd/system ] && command -v systemctl >/dev/null; }

running_daemons() {
    systemd_runs || return 0
    for daemon in virtqemud libvirtd; do
        if systemctl is-active --quiet "$daemon"; then printf '%s\n' "$daemon"; fi
    done
}

check_keeping() {
    for daemon in $(running_daemons) virtqemud libvirtd; do
        command -v "$daemon" >/dev/null || continue
        version=$("$daemon" --version 2>/dev/null | sed -n 's/.*[^0-9.]\([0-9][0-9]*\.[0-9][0-9]*\)\..*/\1/p')
        at_least 6.5 "$version" && return
        fail "--keep-existing needs libvirt 6.5 or newer, and this is ${version:-of unknown age}; nothing was changed." \
            "Older ones run nothing in $hook.d/. Update libvirt, or move $hook away by hand."
    done
    fail '--keep-existing needs libvirt 6.5 or newer, and none was found; nothing was changed.' 'Install libvirt first.'
}

check_locking() {
    if ! command -v lvmconfig >/dev/null || ! command -v lvmlockctl >/dev/null; then
        warn 'LVM or its lock daemon is missing (Debian: apt install lvm2 lvm2-lockd sanlock)'
        return
    fi
    case $(lvmconfig --typeconfig full global/use_lvmlockd 2>/dev/null) in
        use_lvmlockd=1) ;;
        *) warn 'LVM does not use its lock daemon: set use_lvmlockd = 1 in the global section of /etc/lvm/lvm.conf' ;;
    esac
    lvmlockctl --info >/dev/null 2>&1 || warn 'lvmlockd does not run: systemctl enable --now sanlock lvmlockd'
}

# SIGHUP: libvirt looks for hooks when its daemon starts and then only when it is told to. Returns 1 if telling failed.
tell_daemon() {
    if ! systemd_runs; then
        say "to do      no systemd here: send SIGHUP to libvirtd or virtqemud, if it runs, to have it look for its hooks"
        return 0
    fi
    told=
    for daemon in $(running_daemons); do
        systemctl reload "$daemon" || return 1
        say "reloaded   $daemon, which looks for its hooks now; domains run on"
        told=yes
    done
    [ -n "$told" ] || say 'reloaded   nothing: no libvirt daemon runs; it looks for its hooks when it starts'
}

# The agent: enabled, and started anew, which costs it nothing. Returns 1 if that failed.
start_agent() {
    if ! systemd_runs; then
        say "to do      no systemd here: have 'lvguard agent' run for as long as the host does"
        return 0
    fi
    systemctl daemon-reload && systemctl --quiet enable lvguard.service && systemctl restart lvguard.service || return 1
    say 'started    lvguard.service, the agent'
}

# Domains run on, with the locks that they have.
stop_agent() {
    systemd_runs || return 0
    systemctl --quiet disable --now lvguard.service || return 1
    say 'stopped    lvguard.service, the agent'
}

# --- writing: stage all, then rename all

# In the folder of the file, so that the rename is one step. libvirt runs no such name in hooks/, logrotate skips the ~,
# and Node takes it, like the hook's own name, as one without extension.
temporary() { printf '%s/.%s-lvguard-%s~' "${1%/*}" "${1##*/}" "$$"; }

remove_temporary() {
    for file in "$conf" "$rotate" "$service" "$hook" "$link"; do rm -f "$(temporary "$file")"; done
    for unit in $ordered; do rm -f "$(temporary "$(order_file "$unit")")"; done
}

not_written() {
    fail "cannot write $1; what was installed before is untouched." 'Make room, or make it writable, and run this again.'
}

# stage SOURCE FILE MODE
stage() {
    new=$(temporary "$2")
    { mkdir -p "${2%/*}" && cp "$1" "$new" && chmod "$3" "$new"; } || not_written "$2"
    [ "$(id -u)" -ne 0 ] || chown 0:0 "$new" || not_written "$2"
    # Some file systems bring a renamed file back empty after a power cut, unless it was on disk before.
    sync "$new" 2>/dev/null || :
}

stage_link() {
    { mkdir -p "${link%/*}" && ln -s "$link_target" "$(temporary "$link")"; } || not_written "$link"
}

# put FILE: renames its staged form over it, and says so
put() {
    new=$(temporary "$1")
    if ! exists "$new"; then
        say "unchanged  $1"
        return
    fi
    verb='installed '
    ! exists "$1" || verb='updated   '
    mv -f "$new" "$1" || fail "cannot rename $new to $1, which is as it was." 'Run this again once that is repaired.'
    say "$verb $1"
}

# A configuration file that an administrator may have changed is never replaced.
stage_configuration() { exists "$2" || stage "$1" "$2" 644; }

put_configuration() {
    if exists "$2" && ! cmp -s "$1" "$2"; then
        say "kept       $2, which is not as delivered (compare: diff $1 $2)"
    else
        put "$2"
    fi
}

# A file that is ours alone, and follows the delivered one.
stage_own() { same "$1" "$2" 644 || stage "$1" "$2" 644; }

# The drop-in of a unit that has to start after the lockspaces.
order_file() { printf '%s/%s.service.d/lvguard.conf' "$units" "$1"; }

# --- another program's hook

# The name in qemu.d for the hook that is kept: the first free one, or the one that an interrupted run has given it already.
kept_name() {
    name=$hook.d/qemu
    number=1
    while exists "$name" && ! is_same_file "$name" "$hook"; do
        number=$((number + 1))
        name=$hook.d/qemu-$number
    done
    printf '%s' "$name"
}

# Gives the hook its second name by a link, which fails if the name is taken; the first name is then free to be replaced.
# Never through a temporary name: libvirt would run that too.
keep() {
    if is_same_file "$1" "$hook"; then return; fi
    if exists "$1"; then return 1; fi
    if [ -L "$hook" ]; then
        target=$(readlink "$hook")
        case $target in /*) ;; *) target=../$target ;; esac
        ln -s "$target" "$1" || return 1
    else
        ln "$hook" "$1" || return 1
    fi
    # A relative link leads elsewhere if qemu.d is itself a link.
    if [ -e "$hook" ] && ! is_same_file "$1" "$hook"; then
        rm -f "$1"
        return 1
    fi
}

# --- the two things to do

# Refuses what is in the way; sets `kept` to the new name of another program's hook, if there is one.
look() {
    kept=
    if [ -d "$hook" ]; then
        fail "$hook is a folder, not a hook; nothing was changed." 'Move it away and run this again.'
    elif exists "$hook" && ! is_ours "$hook"; then
        [ -n "$keep_existing" ] || fail "$hook is another program's hook; nothing was changed." \
            "With --keep-existing it moves to $hook.d/, where libvirt runs it after lvguard."
        [ -n "$destdir" ] || check_keeping
        kept=$(kept_name)
    fi
    if exists "$link" && ! is_our_link; then
        fail "$link is not lvguard's; nothing was changed." 'Move it away and run this again.'
    fi
    for file in "$conf" "$rotate" "$service"; do
        [ ! -d "$file" ] || fail "$file is a folder; nothing was changed." 'Move it away and run this again.'
    done
}

install_all() {
    if [ -z "$destdir" ]; then
        [ "$(id -u)" -eq 0 ] || fail 'only root can install into /etc and /usr/sbin; nothing was changed.' \
            "Run it with sudo, or with --destdir DIR."
        check_node
    fi
    look

    if [ ! -f "$built" ]; then
        command -v npm >/dev/null || fail "$built is missing, and so is npm, which would build it." \
            'Install npm (Debian: apt install npm), or copy a dist/qemu that was built elsewhere to this place.'
        say "building   $built (npm ci, npm run build)"
        # A machine set up for production would leave out what the build needs.
        (cd "$project" && npm ci --include=dev && npm run build) >&2 ||
            fail 'the build failed (see above); nothing was installed.'
        # It took a while.
        look
    fi
    is_ours "$built" || fail "$built is not lvguard's hook; nothing was changed." \
        "Remove it and run this again, to have it built anew."

    trap remove_temporary EXIT
    trap '' PIPE
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    stage_configuration "$here/lvguard.conf" "$conf"
    stage_configuration "$here/lvguard.logrotate" "$rotate"
    stage_own "$here/lvguard.service" "$service"
    for unit in $ordered; do stage_own "$here/lvguard-order.conf" "$(order_file "$unit")"; done
    if ! same "$built" "$hook" 755; then
        stage "$built" "$hook" 755
        [ -n "$destdir" ] || env -i PATH="$daemon_path" "$(temporary "$hook")" --version </dev/null >/dev/null ||
            fail 'the new hook does not run on this host (see above); what was installed before is untouched.'
    fi
    has_our_target || stage_link
    [ -z "$kept" ] || mkdir -p "$hook.d" || not_written "$kept"

    # From here on only renames, a matter of milliseconds: nothing interrupts them.
    trap '' HUP INT TERM
    put_configuration "$here/lvguard.conf" "$conf"
    put_configuration "$here/lvguard.logrotate" "$rotate"
    put "$service"
    for unit in $ordered; do put "$(order_file "$unit")"; done
    if [ -n "$kept" ]; then
        keep "$kept" || fail "cannot give $hook the name $kept; it is untouched." 'Move it by hand and run this again.'
        mv -f "$(temporary "$hook")" "$hook" || {
            rm -f "$kept"
            fail "cannot replace $hook; it is untouched." 'Run this again once that is repaired.'
        }
        say "moved      $hook to $kept, where libvirt runs it after lvguard"
        say "installed  $hook"
    else
        put "$hook"
    fi
    put "$link"

    if [ -n "$kept" ] && grep -Eq '\$\{?0|BASH_SOURCE|__file__|argv\[0\]' "$kept" 2>/dev/null; then
        warn "$kept asks for its own path, which is new: see that it still finds its files"
    fi
    if [ -n "$destdir" ]; then
        say 'next       on the host that gets these files: systemctl reload libvirtd (or virtqemud), which finds the hook'
        say '           systemctl daemon-reload; systemctl enable --now lvguard.service'
        return
    fi
    tell_daemon || fail "$daemon was not told of the hook: systemctl reload $daemon failed." \
        'Domains start without locks until that is done, or until the daemon is restarted.'
    start_agent || fail 'the agent did not start: see journalctl -u lvguard.' \
        'The hook is in place and VMs start with locks; they cannot migrate live until: systemctl enable --now lvguard'
    check_locking
    say 'next       on each host: a shared volume group, its locking started (vgs -o +lock_type; vgchange --lockstart VG)'
    say '           on every other host that has the volume group: this installation'
    say '           see what would happen: virsh dumpxml DOMAIN | lvguard --dry-run DOMAIN prepare begin -'
    say '           then: virsh start DOMAIN'
}

# remove FILE
remove() {
    rm -f "$1" || fail "cannot remove $1."
    say "removed    $1"
}

uninstall_all() {
    [ -n "$destdir" ] || [ "$(id -u)" -eq 0 ] ||
        fail 'only root can remove lvguard; nothing was changed.' 'Run it with sudo.'

    if [ -z "$destdir" ] && exists "$service"; then
        stop_agent || fail 'the agent could not be stopped: systemctl disable --now lvguard.service failed; nothing was changed.'
    fi
    if is_our_link; then remove "$link"
    elif exists "$link"; then say "stays      $link, which is not lvguard's"
    fi
    if cmp -s "$here/lvguard.logrotate" "$rotate"; then remove "$rotate"
    elif exists "$rotate"; then say "stays      $rotate, which is not as delivered"
    fi
    if exists "$service"; then remove "$service"; fi
    for unit in $ordered; do
        file=$(order_file "$unit")
        exists "$file" || continue
        remove "$file"
        rmdir "${file%/*}" 2>/dev/null || :
    done
    if [ -z "$destdir" ] && systemd_runs; then systemctl daemon-reload || :; fi
    if is_ours "$hook"; then
        remove "$hook"
        if [ -z "$destdir" ]; then
            tell_daemon || fail "$daemon was not told that the hook is gone: systemctl reload $daemon failed." \
                'Run that command, or restart the daemon.'
        fi
    elif exists "$hook"; then say "stays      $hook, which is another program's"
    else say "absent     $hook"
    fi
    # Not moved back: it runs where it is, with or without a main hook, and may have been changed there since.
    for file in "$hook".d/*; do
        ! exists "$file" || say "stays      $file, which libvirt runs there as before"
    done
    for file in "$conf" "$destdir/var/log/libvirt/lvguard.log"; do
        ! exists "$file" || say "stays      $file"
    done

    records=0
    for file in "$destdir"/run/lvguard/*-*-*-*-*; do
        case $file in *.lock) continue ;; esac
        ! exists "$file" || records=$((records + 1))
    done
    if [ "$records" -gt 0 ]; then
        warn "$destdir/run/lvguard has records of $records domain(s): nothing unlocks their volumes any more when they stop."
        warn 'Their locks stay until somebody deactivates the volumes on this host (lvchange -an VG/LV), or it restarts.'
    fi
}

# --- arguments

task=install_all
keep_existing=
destdir=
while [ $# -gt 0 ]; do
    case $1 in
        --help) usage; exit 0 ;;
        --uninstall) task=uninstall_all ;;
        --keep-existing) keep_existing=yes ;;
        --destdir | --destdir=*)
            if [ "$1" = --destdir ]; then
                [ $# -gt 1 ] || misuse '--destdir needs a folder'
                shift
                destdir=$1
            else
                destdir=${1#*=}
            fi
            # An empty one is a packager's unset variable, and not meant to be this host.
            case $destdir in '' | -*) misuse "--destdir needs a folder, not '$destdir'" ;; esac
            ;;
        *) misuse "unknown argument '$1'" ;;
    esac
    shift
done
[ -z "$keep_existing" ] || [ "$task" = install_all ] || misuse '--keep-existing does not go with --uninstall'

case $destdir in '' | /*) ;; *) destdir=$(pwd)/$destdir ;; esac
while [ "${destdir%/}" != "$destdir" ]; do destdir=${destdir%/}; done

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
project=${here%/*}
built=$project/dist/qemu
hook=$destdir/etc/libvirt/hooks/qemu
conf=$destdir/etc/libvirt/lvguard.conf
rotate=$destdir/etc/logrotate.d/lvguard
units=$destdir/etc/systemd/system
service=$units/lvguard.service
ordered='libvirtd virtqemud libvirt-guests'
link=$destdir/usr/sbin/lvguard
link_target=/etc/libvirt/hooks/qemu

"$task"
