#!/bin/sh
# Installs lvguard on this host, or takes it away; `install.sh --help` says how. Run it as often as you like.
#
# No half-state: first everything is looked at and refused if need be, then every new file is written beside the old one
# (a full disk ends here), then the new files are renamed over the old ones, the hook last. libvirt never sees half a
# file.
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

Installs lvguard, the libvirt qemu hook (built with npm first if dist/qemu is missing, or not of these sources):
  /etc/libvirt/hooks/qemu     the hook
  /usr/sbin/lvguard           the same program as a command (a link)
  /etc/libvirt/lvguard.conf   its configuration, all defaults; an existing one is kept
  /etc/logrotate.d/lvguard    rotation of its log; an existing one is kept
  /usr/lib/systemd/system/lvguard.service     the agent, which is enabled and started
  /usr/lib/systemd/system/lvguard-check.{service,timer}
                              'lvguard check' every five minutes, enabled and started; the journal gets what has changed
  /usr/lib/systemd/system/{libvirtd,virtqemud,libvirt-guests}.service.d/lvguard.conf
                              VMs start after the lockspaces of their volumes, and stop before them
  /usr/lib/systemd/system/lvguard-evacuate.service
                              VMs go to another host at shutdown; neither enabled nor started
  /usr/share/man/man8/lvguard.8, /usr/share/man/man5/lvguard.conf.5, /usr/share/bash-completion/completions/lvguard
  /usr/share/doc/lvguard/README.md
and has the running libvirt daemon look for its hooks again. No domain is touched. Your own changes to a unit belong in
/etc/systemd/system (systemctl edit lvguard), where nothing is ever changed. At the end it says what this host lacks.

On a host that has the package lvguard it takes the package's place, with VMs running; there is a hook all the time.

A host needs nodejs, not npm: build on one machine (npm ci && npm run build), copy README.md, dist and install to each
host, and run install/install.sh there.

  --keep-existing  another /etc/libvirt/hooks/qemu moves to /etc/libvirt/hooks/qemu.d/, where libvirt 6.5 and newer
                   runs it after lvguard; without this option it is refused
  --destdir DIR    install below DIR (to make a package); this host is neither checked nor told
  --uninstall      remove all of it, and the cache; a hook that --keep-existing moved goes back to its place. What you
                   have changed, the logs, and what is known of VMs stay, and are named

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

# Whether dpkg has lvguard here (install/debian): then the program is /usr/sbin/lvguard, and the hook and others are
# links.
is_packaged() {
    [ -z "$destdir" ] || return 1
    case $(dpkg-query -W -f '${db:Status-Status}' lvguard 2>/dev/null) in
        '' | not-installed | config-files) return 1 ;;
    esac
}

is_package_link() { [ -L "$1" ] && case $(readlink "$1") in /usr/share/lvguard/*) ;; *) return 1 ;; esac; }

# One and the same file under two names, by a hard or a symbolic link.
is_same_file() { [ -e "$1" ] && [ -n "$(find -L "$1" -prune -samefile "$2" 2>/dev/null)" ]; }

# at_least MAJOR.MINOR MAJOR.MINOR...: the second is the first or newer
at_least() {
    case $2 in [0-9]*.[0-9]*) ;; *) return 1 ;; esac
    minor=${2#*.}
    [ "${2%%.*}" -gt "${1%%.*}" ] || { [ "${2%%.*}" -eq "${1%%.*}" ] && [ "${minor%%.*}" -ge "${1#*.}" ]; }
}

# --- dist/qemu and its sources

# What build.mjs calls the sources of a program, by their content: copying a folder gives files any age. Empty without
# sources.
sources_sum() {
    { [ -f "$project/build.mjs" ] && [ -d "$project/src" ]; } || return 0
    (cd "$project" && find build.mjs package.json package-lock.json src -type f \
        \( -name '*.ts' -o -name '*.js' -o -name '*.mjs' -o -name '*.json' -o -name '*.sh' \) -exec sha256sum {} + |
        sort -k 2 | sha256sum | cut -c 1-64)
}

# Why dist/qemu has to be built: empty if it is of these sources, or if there are none.
reason_to_build() {
    if [ ! -f "$built" ]; then
        echo 'is missing'
        return
    fi
    is_ours "$built" || return 0
    made=$(sed -n '\|^// lvguard [^ ]*, sources |{s|^// lvguard \([^ ]*\), sources \([0-9a-f]*\)$|\1 \2|p;q;}' "$built")
    wanted=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' "$project/package.json" 2>/dev/null || :)
    sum=$(sources_sum)
    if [ -z "$made" ] && [ -n "$wanted$sum" ]; then
        echo 'is of unknown version'
        return
    elif [ -n "$wanted" ] && [ "${made% *}" != "$wanted" ]; then
        echo "is version ${made% *} and package.json says $wanted"
        return
    fi
    [ -z "$sum" ] || [ "${made#* }" = "$sum" ] || echo 'was built from other sources than those beside it'
}

# npm ci only where it has something to do: it needs the network.
build() {
    cd "$project" || return 1
    if [ ! -e node_modules/.package-lock.json ] || [ -n "$(find package-lock.json -newer node_modules/.package-lock.json)" ]; then
        # A machine set up for production would leave out what the build needs.
        npm ci --include=dev || return 1
    fi
    npm run build
}

build_if_needed() {
    reason=$(reason_to_build)
    [ -n "$reason" ] || return 0
    [ -f "$project/package.json" ] || fail "$built $reason, and its sources are not here; nothing was changed." \
        'Copy dist and install from where it was built (npm ci && npm run build), both at once.'
    command -v npm >/dev/null || fail "$built $reason, and npm, which would build it, is missing; nothing was changed." \
        'Install npm (Debian: apt install npm); or build it on another machine and copy its dist and install here, without src.'
    say "building   $built, which $reason"
    (build) >&2 || fail 'the build failed (see above); nothing was installed.'
    # It took a while.
    look
    reason=$(reason_to_build)
    [ -z "$reason" ] || fail "$built $reason, also after the build; nothing was changed." 'Is it written somewhere else (LVGUARD_TARGET)?'
}

# --- checks of this host; not with --destdir

# libvirt hands its own PATH to the hook, which is systemd's for services. Whatever else is in the PATH of the person
# who installs (nvm, ~/bin) does not help the hook.
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

# Each thing that will bite, with the command against it. None of them hinders the installation.
check_host() {
    command -v virtqemud >/dev/null || command -v libvirtd >/dev/null ||
        warn 'libvirt is missing (Debian: apt install libvirt-daemon-system libvirt-clients qemu-system-x86)'
    check_configuration
    check_locking
}

# Of a program that knows the word; 2 says that it does not. What is right in itself may not fit this host: a typing
# error in a name.
check_configuration() {
    status=0
    said=$(env -i PATH="$daemon_path" "$hook" check-config </dev/null 2>&1 >/dev/null) || status=$?
    case $status in
        0) printf '%s\n' "$said" | sed -n 's/^lvguard: warning: //p' | while IFS= read -r line; do warn "in the configuration: $line"; done ;;
        1) warn "the configuration is wrong (lvguard check-config): $said" ;;
    esac
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
    if command -v sanlock >/dev/null; then
        case $(lvmconfig --typeconfig full local/host_id 2>/dev/null) in
            '' | host_id=0) warn 'this host has no number for sanlock: set host_id = N (1 to 2000, on each host another) in the local section of /etc/lvm/lvmlocal.conf' ;;
        esac
        check_watchdog
    fi
    lvmlockctl --info >/dev/null 2>&1 ||
        warn 'lvmlockd does not run: systemctl enable --now sanlock lvmlockd lvmlocks; then vgchange --lock-start'
}

# Why no watchdog resets this host when it loses its storage: sanlock asks wdmd for it, and wdmd a device (FACTS 44).
# Empty if one does. What sanlock says that runs goes before what its files say, which it reads at its next start.
watchdog_lack() {
    case $(sanlock client status -D 2>/dev/null | sed -n 's/^ *use_watchdog=//p') in
        0) echo 'sanlock runs without one' ;;
        1) ;;
        *)
            if has_option_w; then echo "sanlock_opts is '-w 0'"
            elif has_use_watchdog; then echo 'use_watchdog is 0'
            elif systemd_runs && [ "$(systemctl is-enabled wdmd 2>/dev/null)" = masked ]; then echo 'wdmd is masked'
            elif ! [ -e /dev/watchdog ]; then echo 'there is no /dev/watchdog'
            fi
            ;;
    esac
}

has_option_w() { grep -Eqs '^[^#]*sanlock_opts=.*-w *0' /etc/default/sanlock; }
has_use_watchdog() { grep -Eqs '^ *use_watchdog *= *0' /etc/sanlock/sanlock.conf; }

check_watchdog() {
    lack=$(watchdog_lack)
    if [ -z "$lack" ]; then
        say 'watchdog   sanlock and wdmd reset this host when it loses its storage'
        return
    fi
    warn "this host has no watchdog ($lack). If its storage hangs, lvguard kills the VMs on it after 80 s, and resets this host after 125 s if that is not enough (kill_fallback). A watchdog does so too when nothing on this host runs any more."
    how=
    ! has_option_w || how="take '-w 0' out of /etc/default/sanlock; "
    ! has_use_watchdog || how="${how}take use_watchdog = 0 out of /etc/sanlock/sanlock.conf; "
    [ -e /dev/watchdog ] || how="${how}echo softdog > /etc/modules-load.d/softdog.conf; "
    warn "to have one: ${how}systemctl unmask wdmd; systemctl enable wdmd; then stop the VMs and reboot."
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
    # Anew: an older lvguard enabled it from another folder. The start ends when the agent says that it is there.
    systemctl daemon-reload && systemctl --quiet reenable lvguard.service && systemctl restart lvguard.service || return 1
    say 'started    lvguard.service, the agent'
    # By itself no reason to fail: nothing depends on it.
    if systemctl --quiet reenable lvguard-check.timer && systemctl restart lvguard-check.timer; then
        say 'started    lvguard-check.timer, lvguard check every five minutes'
    else warn 'lvguard-check.timer did not start: systemctl enable --now lvguard-check.timer'
    fi
}

# Domains run on, with the locks that they have.
stop_agent() {
    systemd_runs || return 0
    # Never stopped: its stop sends the VMs away.
    ! exists "$evacuate" || systemctl --quiet disable lvguard-evacuate.service || return 1
    ! exists "$check_timer" || systemctl --quiet disable --now lvguard-check.timer || return 1
    systemctl --quiet disable --now lvguard.service || return 1
    say 'stopped    lvguard.service, the agent'
}

# --- writing: stage all, then rename all

# In the folder of the file, so that the rename is one step. libvirt runs no such name in hooks/, logrotate skips the ~,
# and Node takes it, like the hook's own name, as one without extension.
temporary() { printf '%s/.%s-lvguard-%s~' "${1%/*}" "${1##*/}" "$$"; }

remove_temporary() {
    for file in "$conf" "$rotate" "$service" "$check_service" "$check_timer" "$evacuate" "$man" "$man_conf" "$completion" "$readme" "$hook" "$link"; do rm -f "$(temporary "$file")"; done
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

# remove FILE
remove() {
    rm -f "$1" || fail "cannot remove $1."
    say "removed    $1"
}

# A configuration file that an administrator may have changed is never replaced.
stage_configuration() { { exists "$2" && ! is_package_link "$2"; } || stage "$1" "$2" 644; }

put_configuration() {
    if exists "$2" && ! cmp -s "$1" "$2"; then
        say "kept       $2, which is not as delivered (compare: diff $1 $2)"
    else
        put "$2"
    fi
}

# A file that is ours alone, and follows the delivered one. The package's goes with it.
stage_own() { { [ -z "$packaged" ] && same "$1" "$2" 644; } || stage "$1" "$2" 644; }

# --- units

# The drop-in of a unit that has to start after the lockspaces, and what is delivered for it.
order_file() { printf '%s/%s.service.d/lvguard.conf' "$units" "$1"; }
order_source() {
    case $1 in
        libvirt-guests) printf '%s/lvguard-order-guests.conf' "$here" ;;
        *) printf '%s/lvguard-order.conf' "$here" ;;
    esac
}

# In /etc, where systemd looks first, and where nothing is ours: an administrator's own unit (systemctl edit --full),
# additions to ours (systemctl edit), and our own drop-ins under the same name.
own_units() {
    for file in "$etc_units/lvguard.service" "$etc_units"/lvguard.service.d/*.conf "$etc_units"/lvguard-check.service "$etc_units"/lvguard-check.timer "$etc_units"/lvguard-evacuate.service \
        "$etc_units"/lvguard-check.service.d/*.conf "$etc_units"/lvguard-check.timer.d/*.conf "$etc_units"/lvguard-evacuate.service.d/*.conf; do
        ! exists "$file" || printf '%s\n' "$file"
    done
    for unit in $ordered; do
        file=$etc_units/$unit.service.d/lvguard.conf
        ! exists "$file" || printf '%s\n' "$file"
    done
}

# lvguard 0.1.0 put its units there, until then: what is as it was delivered goes.
is_delivered_before() {
    case $(sha256sum 2>/dev/null <"$1") in
        3722c302ee8f3ec3b7b09c8a612adf2e287a6ab02a724c7bb09e058e62b7bc68*) ;;
        1bd003194474ffb610c6547b6ac93d79a6bf6c595f6d5e8369d8631bfa9f1a10*) ;;
        866b03eba03fe217f93f689edfa40769fbdab25a1fddd01868ae1a35ce471330*) ;;
        *) return 1 ;;
    esac
}

remove_delivered_before() {
    own_units | while IFS= read -r file; do
        is_delivered_before "$file" || continue
        remove "$file"
        case $file in */*.d/*) rmdir "${file%/*}" 2>/dev/null || : ;; esac
    done
}

say_own_units() {
    own_units | while IFS= read -r file; do
        case $file in
            "$etc_units/lvguard.service") say "yours      $file, which systemd takes instead (to have the delivered one: systemctl revert lvguard, then this again)" ;;
            "$etc_units"/lvguard.service.d/* | "$etc_units"/lvguard-check.*.d/* | "$etc_units"/lvguard-evacuate.service.d/*) say "yours      $file, which systemd adds" ;;
            *) say "yours      $file, which systemd takes instead" ;;
        esac
    done
}

# --- another program's hook

# The name in qemu.d for the hook that is kept: the first free one, or the one that an interrupted run has given it
# already.
kept_name() {
    name=$hook.d/qemu
    number=1
    while exists "$name" && ! is_same_file "$name" "$hook"; do
        number=$((number + 1))
        name=$hook.d/qemu-$number
    done
    printf '%s' "$name"
}

# Gives the hook its second name by a link, which fails if the name is taken; the first name is then free to be
# replaced. Never through a temporary name: libvirt would run that too.
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

# Where the kept hook is, for --uninstall: a link that libvirt does not run, as its name has a dot in front.
note_kept() { ln -sfn "qemu.d/${1##*/}" "$kept_note"; }

# The kept hook back in its place, over our own one in one step. Returns 1 if there is none, or if it would not be the
# same there.
give_back() {
    [ -L "$kept_note" ] || return 1
    back=${hook%/*}/$(readlink "$kept_note")
    case $back in "$hook.d"/*) ;; *) return 1 ;; esac
    exists "$back" || return 1
    target=$(readlink "$back" || :)
    case $target in
        '' | /*) mv -f "$back" "$hook" || return 1 ;;
        ../*)
            new=$(temporary "$hook")
            ln -s "${target#../}" "$new" || return 1
            if [ -e "$back" ] && ! is_same_file "$new" "$back"; then
                rm -f "$new"
                return 1
            fi
            mv -f "$new" "$hook" && rm -f "$back" || return 1
            ;;
        *) return 1 ;;
    esac
    rm -f "$kept_note"
    rmdir "$hook.d" 2>/dev/null || :
    say "moved      $back to $hook, where it was before lvguard"
}

put_hook() {
    if [ -z "$kept" ]; then
        put "$hook"
        return
    fi
    keep "$kept" || fail "cannot give $hook the name $kept; it is untouched." 'Move it by hand and run this again.'
    # A note of what is not kept would have --uninstall take somebody else's script for it.
    { note_kept "$kept" && mv -f "$(temporary "$hook")" "$hook"; } || {
        rm -f "$kept" "$kept_note"
        fail "cannot replace $hook; it is untouched." 'Run this again once that is repaired.'
    }
    say "moved      $hook to $kept, where libvirt runs it after lvguard"
    say "installed  $hook"
}

# --- the package, from which this takes over

# The hook is a file by now, which the package's own scripts leave alone: there is one all the time.
remove_package() {
    dpkg --remove lvguard >/dev/null || fail "dpkg did not remove the package lvguard (see above). The new hook is in place, and VMs start with locks." \
        'Remove it (dpkg --remove lvguard) and run this again.'
    say 'removed    the package lvguard, whose place this takes; do not purge it: that would take away /etc/libvirt/lvguard.conf'
}

# --- the two things to do

# The newest format of the records that this version reads (src/core/record.ts).
record_format=1

# An older lvguard over the records of a newer one would refuse every start on this host, and release nothing.
refuse_newer_records() {
    for file in "$run"/*-*.json; do
        format=$(sed -n 's/^{"format":\([0-9][0-9]*\),.*/\1/p' "$file" 2>/dev/null || :)
        if [ -z "$format" ] || [ "$format" -le "$record_format" ]; then continue; fi
        fail "$file was written by a newer lvguard (format $format; this one reads up to $record_format); nothing was changed." \
            'Stop the VMs of this host, or migrate them away, until that folder has no .json file; then install this older version.'
    done
}

# Refuses what is in the way; sets `kept` to the new name of another program's hook, if there is one, and `packaged`.
look() {
    kept=
    packaged=
    if is_packaged; then packaged=yes; fi
    refuse_newer_records
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
    for file in "$conf" "$rotate" "$service" "$check_service" "$check_timer" "$evacuate" "$man" "$man_conf" "$completion" "$readme"; do
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

    build_if_needed
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
    stage_own "$here/lvguard-check.service" "$check_service"
    stage_own "$here/lvguard-check.timer" "$check_timer"
    stage_own "$here/lvguard-evacuate.service" "$evacuate"
    stage_own "$here/lvguard.8" "$man"
    stage_own "$here/lvguard.conf.5" "$man_conf"
    stage_own "$here/lvguard.bash-completion" "$completion"
    for unit in $ordered; do stage_own "$(order_source "$unit")" "$(order_file "$unit")"; done
    # A folder may have been copied without it.
    [ ! -f "$project/README.md" ] || stage_own "$project/README.md" "$readme"
    if ! same "$built" "$hook" 755; then
        stage "$built" "$hook" 755
        [ -n "$destdir" ] || env -i PATH="$daemon_path" "$(temporary "$hook")" --version </dev/null >/dev/null ||
            fail 'the new hook does not run on this host (see above); what was installed before is untouched.'
    fi
    has_our_target || stage_link
    [ -z "$kept" ] || mkdir -p "$hook.d" || not_written "$kept"

    # From here on only renames, a matter of milliseconds: nothing interrupts them.
    trap '' HUP INT TERM
    if [ -n "$packaged" ]; then
        put_hook
        remove_package
    fi
    put_configuration "$here/lvguard.conf" "$conf"
    put_configuration "$here/lvguard.logrotate" "$rotate"
    put "$service"
    put "$check_service"
    put "$check_timer"
    put "$evacuate"
    for unit in $ordered; do put "$(order_file "$unit")"; done
    remove_delivered_before
    say_own_units
    put "$man"
    put "$man_conf"
    put "$completion"
    if exists "$readme" || [ -f "$project/README.md" ]; then put "$readme"
    else say "missing    $readme, which the unit names: copy README.md beside dist and install"
    fi
    [ -n "$packaged" ] || put_hook
    put "$link"

    if [ -n "$kept" ] && grep -Eq '\$\{?0|BASH_SOURCE|__file__|argv\[0\]' "$kept" 2>/dev/null; then
        warn "$kept asks for its own path, which is new: see that it still finds its files"
    fi
    if [ -n "$destdir" ]; then
        say 'next       on the host that gets these files: systemctl reload libvirtd (or virtqemud), which finds the hook'
        say '           systemctl daemon-reload; systemctl enable --now lvguard.service lvguard-check.timer'
        return
    fi
    tell_daemon || fail "$daemon was not told of the hook: systemctl reload $daemon failed." \
        'Domains start without locks until that is done, or until the daemon is restarted.'
    started=yes
    start_agent || started=
    # What is said here may be why.
    check_host
    [ -n "$started" ] || fail 'the agent did not start: see journalctl -u lvguard.' \
        'The hook is in place and VMs start with locks; they cannot migrate live until: systemctl enable --now lvguard'
    say 'next       on each host: a shared volume group, its locking started (vgs -o +lock_type; vgchange --lock-start VG)'
    say '           on every other host that has the volume group: this installation'
    say '           see what would happen: virsh dumpxml DOMAIN | lvguard --dry-run DOMAIN prepare'
    say '           then: virsh start DOMAIN'
}

# remove_with_folder FILE: and its folder, if nothing else is in it
remove_with_folder() {
    exists "$1" || return 0
    remove "$1"
    rmdir "${1%/*}" 2>/dev/null || :
}

# remove_as_delivered SOURCE FILE
remove_as_delivered() {
    if cmp -s "$1" "$2"; then remove "$2"
    elif exists "$2"; then say "stays      $2, which is not as delivered"
    fi
}

# remove_folder FOLDER WHAT: with all that is in it; one with a WHAT only if it is empty
remove_folder() {
    exists "$1" || return 0
    if [ -z "$2" ]; then rm -rf "$1" && say "removed    $1"
    elif rmdir "$1" 2>/dev/null; then say "removed    $1"
    else say "stays      $1$2 (rm -r $1)"
    fi
}

uninstall_all() {
    [ -n "$destdir" ] || [ "$(id -u)" -eq 0 ] ||
        fail 'only root can remove lvguard; nothing was changed.' 'Run it with sudo.'
    ! is_packaged || fail 'lvguard is installed as a package; nothing was changed.' \
        'apt remove lvguard; or apt purge lvguard, which also takes its configuration, log, cache and state away.'

    if [ -z "$destdir" ] && { exists "$service" || exists "$etc_units/lvguard.service"; }; then
        stop_agent || fail 'the agent could not be stopped: systemctl disable --now lvguard.service failed; nothing was changed.'
    fi
    if is_our_link; then remove "$link"
    elif exists "$link"; then say "stays      $link, which is not lvguard's"
    fi
    remove_as_delivered "$here/lvguard.logrotate" "$rotate"
    for file in "$service" "$check_service" "$check_timer" "$evacuate" "$man" "$man_conf" "$completion"; do
        ! exists "$file" || remove "$file"
    done
    for unit in $ordered; do remove_with_folder "$(order_file "$unit")"; done
    remove_with_folder "$readme"
    remove_delivered_before
    if [ -z "$destdir" ] && systemd_runs; then systemctl daemon-reload || :; fi
    if is_ours "$hook"; then
        give_back || remove "$hook"
        rm -f "$kept_note"
        if [ -z "$destdir" ]; then
            tell_daemon || fail "$daemon was not told that the hook is gone: systemctl reload $daemon failed." \
                'Run that command, or restart the daemon.'
        fi
    elif exists "$hook"; then say "stays      $hook, which is another program's"
    else say "absent     $hook"
    fi
    for file in "$hook".d/*; do
        ! exists "$file" || say "stays      $file, which libvirt runs there as before"
    done
    remove_as_delivered "$here/lvguard.conf" "$conf"
    own_units | while IFS= read -r file; do say "stays      $file, which is yours"; done
    remove_folder "$cache" ''
    # Memory of saved VMs is told to be older than their disks by what is there.
    remove_folder "$state" ', what is known of saved images of VMs'
    for file in "$log" "$log".*; do
        ! exists "$file" || say "stays      $file"
    done

    records=0
    for file in "$run"/*-*-*-*-*; do
        case $file in *.lock) continue ;; esac
        ! exists "$file" || records=$((records + 1))
    done
    if [ "$records" -gt 0 ]; then
        warn "$run has records of $records domain(s): nothing unlocks their volumes any more when they stop."
        warn 'Their locks stay until somebody deactivates the volumes on this host (lvchange -an VG/LV), or it restarts.'
    elif exists "$run"; then
        # What the agent and the hook leave for each other; anything else is not ours.
        rm -f "$run/agent" "$run/agent.new" "$run/check" "$run"/*.lock "$run"/.stderr-*
        if rmdir "$run" 2>/dev/null; then say "removed    $run"
        else say "stays      $run, which is not empty"
        fi
    fi
}

# --- arguments

task=install_all
keep_existing=
destdir=
while [ $# -gt 0 ]; do
    case $1 in
        --help | -h) usage; exit 0 ;;
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
units=$destdir/usr/lib/systemd/system
etc_units=$destdir/etc/systemd/system
readme=$destdir/usr/share/doc/lvguard/README.md
log=$destdir/var/log/libvirt/lvguard.log
cache=$destdir/var/cache/lvguard
state=$destdir/var/lib/lvguard
run=$destdir/run/lvguard
kept_note=$destdir/etc/libvirt/hooks/.qemu-kept
service=$units/lvguard.service
check_service=$units/lvguard-check.service
check_timer=$units/lvguard-check.timer
evacuate=$units/lvguard-evacuate.service
man=$destdir/usr/share/man/man8/lvguard.8
man_conf=$destdir/usr/share/man/man5/lvguard.conf.5
completion=$destdir/usr/share/bash-completion/completions/lvguard
ordered='libvirtd virtqemud libvirt-guests'
link=$destdir/usr/sbin/lvguard
link_target=/etc/libvirt/hooks/qemu

"$task"
