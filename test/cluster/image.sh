#!/bin/bash
# image.sh [bookworm|trixie] [node|bare]: builds the disk, kernel and initrd of a cluster node, once, and prints the folder they are in.
#
# node: with all that the scenarios need, set up. bare: only Debian, and an apt source on its disk with the packages that the README's
# section "From two bare hosts" installs, since a node reaches no network.
# The folder's name carries a hash of all that builds it. It is built aside and renamed into place when complete, in mount
# and process namespaces of its own: whatever ends the build, no mount and no process of it is left.
# The mirror and apt's settings (proxy, keys) are those of this machine; MIRROR=URL names another mirror.
# Root and debootstrap are needed; two to four minutes.
set -euo pipefail

suite=${1:-${SUITE:-bookworm}}
kind=${2:-node}
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lvguard-cluster
case $kind in
  node) name=$suite sources=("$here"/guest/{Makefile,*.[ch]}) ;;
  bare) name=bare-$suite sources=() ;;
  *) echo "image.sh: no such kind of node: $kind (node or bare)" >&2; exit 2 ;;
esac

# The packages that the section's apt line names, which are all that stand there after the options.
in_section() {
  sed -n '/^## From two bare hosts/,/^## [^F]/s/^    apt-get install \(-[^ ]* \)*//p' "$here/../../README.md"
}
if [ "$kind" = bare ] && [ -z "$(in_section)" ]; then echo 'image.sh: README.md has no apt line in its section "From two bare hosts"' >&2; exit 1; fi
hash=$({ cat "$here/image.sh" "${sources[@]}"; [ "$kind" = node ] || in_section; } | sha256sum | cut -c1-12)
image=$cache/$name-$hash

# What any installed Debian has that debootstrap leaves out.
packages=(linux-image-amd64 initramfs-tools xz-utils zstd systemd-sysv dbus udev openssh-server openssh-client iproute2 procps)
if [ "$kind" = bare ]; then packages+=(nano less iputils-ping); fi
if [ "$kind" = node ]; then packages+=(
  lvm2 lvm2-lockd sanlock thin-provisioning-tools drbd-utils
  libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils apparmor apparmor-utils
  nodejs logrotate less bash-completion strace psmisc jq netcat-openbsd iputils-ping kpartx
); fi
case $suite in
  bookworm) ;;
  # Debian 13 packs the driver of logical storage pools on its own, and does without mkfs.
  trixie) [ "$kind" = bare ] || packages+=(libvirt-daemon-driver-storage-logical e2fsprogs) ;;
  *) echo "image.sh: no such suite: $suite (bookworm or trixie)" >&2; exit 2 ;;
esac

if [ -e "$image/complete" ]; then echo "$image"; exit; fi
if [ "$(id -u)" != 0 ]; then echo "image.sh: building the node image needs root" >&2; exit 1; fi
for tool in debootstrap ssh-keygen mke2fs unshare flock; do
  if ! command -v "$tool" > /dev/null; then echo "image.sh: $tool is missing" >&2; exit 1; fi
done

aside=$cache/building-$name-$hash
if [ "${LVGUARD_IMAGE_STAGE:-}" != inside ]; then
  mkdir -p "$cache"
  exec 9> "$cache/$name-$hash.lock"
  flock 9
  if [ ! -e "$image/complete" ]; then
    echo "image.sh: building the $name node image, log in $aside.log" >&2
    trap 'rm -rf "$aside"' EXIT
    if ! LVGUARD_IMAGE_STAGE=inside unshare --mount --pid --fork --kill-child --mount-proc \
      "$here/image.sh" "$suite" "$kind" > "$aside.log" 2>&1 < /dev/null 9>&-; then
      tail -20 "$aside.log" >&2
      echo "image.sh: the build failed, its log is $aside.log" >&2
      exit 1
    fi
    mv "$aside" "$image"
    mv "$aside.log" "$image/build.log"
  fi
  echo "$image"
  exit
fi

# From here on inside the namespaces.
machine_mirror() {
  { sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources
    sed -n 's/^deb  *\(\[[^]]*\] *\)\?\([^ ]*\) .*/\2/p' /etc/apt/sources.list; } 2> /dev/null | grep -m1 '/debian/*$'
}
mirror=${MIRROR:-$(machine_mirror || true)}
if [ -z "$mirror" ]; then echo "image.sh: no Debian mirror in apt's sources; name one with MIRROR=" >&2; exit 1; fi

rm -rf "$aside"
root=$aside/root
mkdir -p "$root"
debootstrap --variant=minbase --include=systemd-sysv,ca-certificates "$suite" "$root" "$mirror"
for folder in proc sys dev; do mount --rbind "/$folder" "$root/$folder"; done
in_node() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"; }

# Packages. apt works with this machine's settings, and the image gets its own back afterwards.
cp -a "$root/etc/apt/apt.conf.d" "$aside/apt.conf.d"
cp -r /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
# The initrd holds what a node needs and no more: unpacking is what emulation is slow at.
mkdir -p "$root/etc/initramfs-tools/conf.d"
printf 'MODULES=list\nCOMPRESS=gzip\n' > "$root/etc/initramfs-tools/conf.d/cluster"
printf 'virtio_pci\nvirtio_blk\next4\n' > "$root/etc/initramfs-tools/modules"
install_packages() { in_node apt-get install -qy --no-install-recommends -o Dpkg::Options::=--force-unsafe-io "$@"; }
in_node apt-get update -q
install_packages "${packages[@]}"

add_node() {
  # The guest that writes to its disk (libvirt's AppArmor profiles allow kernels in this folder), and its journal's reader.
  cp -r "$here/guest" "$root/tmp/guest"
  in_node dpkg-query -W > "$aside/packages"
  install_packages gcc libc6-dev make
  in_node make -C /tmp/guest PREFIX=/var/lib/libvirt/boot BIN=/usr/local/bin install
  in_node apt-get purge -qy --autoremove gcc libc6-dev make
  in_node dpkg-query -W | diff "$aside/packages" -
  rm -rf "$root/tmp/guest"
}

add_bare() {
  # The packages of the section, with all that they depend on, as an apt source of the node's own.
  mkdir -p "$root/var/local/debian"
  in_node apt-get clean
  # shellcheck disable=SC2046
  in_node apt-get install -qy --no-install-recommends --download-only $(in_section)
  mv "$root"/var/cache/apt/archives/*.deb "$root/var/local/debian/"
  # shellcheck disable=SC2016
  in_node sh -ec 'cd /var/local/debian
    for deb in *.deb; do
      # Packed anew without compression: to unpack is what takes an emulated processor longest.
      dpkg-deb -R "$deb" /tmp/package
      dpkg-deb -Znone -b /tmp/package "$deb" > /dev/null
      rm -r /tmp/package
      dpkg-deb -f "$deb"
      printf "Filename: ./%s\nSize: %s\nSHA256: %s\n\n" "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d " " -f 1)"
    done > Packages'
  rm -f "$root"/etc/apt/sources.list.d/*
  echo 'deb [trusted=yes] file:/var/local/debian ./' > "$root/etc/apt/sources.list"
  # A node starts with the kernel and the initrd of this build, so that packages need not make new ones.
  echo 'update_initramfs=no' > "$root/etc/initramfs-tools/update-initramfs.conf"
  echo 'force-unsafe-io' > "$root/etc/dpkg/dpkg.cfg.d/cluster"
  # In the place of Debian's image for VMs, which nobody can await here: it says one line on its serial console and heeds the power button.
  # shellcheck disable=SC2059
  bytes() { printf "$(printf '\\x%s' "$@")"; }
  {
    bytes 31 C0 8E D8 FC BE 40 7C BA F8 03        # xor ax,ax; mov ds,ax; cld; mov si,0x7c40; mov dx,0x3f8 (the serial port)
    bytes AC 84 C0 74 03 EE EB F8                 # next: lodsb; test al,al; jz +3; out dx,al; jmp next
    bytes BA 02 06 B8 00 01 EF                    # mov dx,0x602; mov ax,0x100; out dx,ax: ACPI, the power button shall be seen
    bytes FB F4 BA 00 06 ED F6 C4 01 74 F5        # wait: sti; hlt; mov dx,0x600; in ax,dx; test ah,1; jz wait
    bytes BA 04 06 B8 00 20 EF EB EC              # mov dx,0x604; mov ax,0x2000; out dx,ax: off; jmp wait
  } > "$aside/sector"
  truncate -s 64 "$aside/sector"
  printf 'tintin runs\r\n' >> "$aside/sector"
  truncate -s 510 "$aside/sector"
  bytes 55 AA >> "$aside/sector"
  truncate -s 1M "$aside/sector"
  qemu-img convert -f raw -O qcow2 "$aside/sector" "$root/root/debian-12-nocloud-amd64.qcow2"
  rm "$aside/sector"
}
"add_$kind"

# The kernel as ELF, unpacked: QEMU starts it directly (PVH), and the emulated processor need not unpack it.
unpack_kernel() { # MAGIC TOOL
  local offset
  while IFS=: read -r offset _; do
    tail -c +$((offset + 1)) "$aside/vmlinuz" | in_node "$2" -dc > "$aside/vmlinux" 2> /dev/null || true
    [ "$(head -c4 "$aside/vmlinux" | tail -c3)" != ELF ] || return 0
  done < <(LC_ALL=C grep -abo "$1" "$aside/vmlinuz")
  return 1
}
cp "$root"/boot/initrd.img-* "$aside/initrd.img"
cp "$root"/boot/vmlinuz-* "$aside/vmlinuz"
unpack_kernel $'\xFD7zXZ' xz || unpack_kernel $'\x28\xB5\x2F\xFD' zstd || cp "$aside/vmlinuz" "$aside/vmlinux"

# ssh between the nodes and from outside, all with one key.
ssh-keygen -q -t ed25519 -N '' -C lvguard-cluster -f "$aside/id"
install -d -m 700 "$root/root/.ssh"
cp "$aside/id.pub" "$root/root/.ssh/authorized_keys"
if [ "$kind" = node ]; then
  install -m 600 "$aside/id" "$root/root/.ssh/id_ed25519"
  # One connection for all: a handshake costs seconds in emulation, and each migration would make one.
  printf 'Host node*\n StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n LogLevel ERROR\n ControlMaster auto\n ControlPath /run/ssh-%%h\n ControlPersist yes\n ServerAliveInterval 5\n' > "$root/root/.ssh/config"
fi
printf 'UsePAM no\nUseDNS no\nMaxSessions 200\nMaxStartups 200\n' > "$root/etc/ssh/sshd_config.d/cluster.conf"

# Network: the first card leads outside, the second to the other node.
printf '127.0.0.1 localhost\n10.0.128.1 node1\n10.0.128.2 node2\n' > "$root/etc/hosts"
printf '[Match]\nMACAddress=52:54:00:aa:00:01 52:54:00:aa:00:02\n[Network]\nDHCP=ipv4\n' > "$root/etc/systemd/network/10-outside.network"
for n in 1 2; do
  printf '[Match]\nMACAddress=52:54:00:bb:00:0%s\n[Network]\nAddress=10.0.128.%s/24\n' $n $n > "$root/etc/systemd/network/20-node$n.network"
done

# Logs that outlive a crash.
mkdir -p "$root/var/log/journal"
# One image, two nodes: the machine id is on the kernel's command line. What else tells them apart comes from the host name there.
cat > "$root/usr/local/sbin/cluster-identity" << 'END'
#!/bin/sh
name=$(cat /proc/sys/kernel/hostname)
echo "$name" > /etc/hostname
END
if [ "$kind" = node ]; then
  cat >> "$root/usr/local/sbin/cluster-identity" << 'END'
printf 'local {\n  host_id = %s\n}\n' "${name#node}" > /etc/lvm/lvmlocal.conf
END
fi
chmod +x "$root/usr/local/sbin/cluster-identity"
cat > "$root/etc/systemd/system/cluster-identity.service" << 'END'
[Unit]
DefaultDependencies=no
After=local-fs.target
Before=sysinit.target lvmlockd.service
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/cluster-identity
[Install]
WantedBy=sysinit.target
END
rm -f "$root/etc/machine-id"
: > "$root/etc/machine-id"
echo '/dev/vda / ext4 defaults 0 1' > "$root/etc/fstab"
in_node systemctl enable -q cluster-identity systemd-networkd ssh
# Nothing may disturb the measurements.
in_node systemctl mask -q apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
  man-db.timer dpkg-db-backup.timer logrotate.timer systemd-networkd-wait-online.service getty@tty1.service
versions=(linux-image-amd64)
if [ "$kind" = node ]; then
  sed -i 's/^\s*#\?\s*use_lvmlockd = .*/\tuse_lvmlockd = 1/' "$root/etc/lvm/lvm.conf"
  in_node systemctl enable -q lvmlockd lvmlocks sanlock
  # libvirt's daemon stays when it is idle: each of its starts looks at QEMU anew.
  sed -i '/--timeout/d' "$root/etc/default/libvirtd" && echo 'LIBVIRTD_ARGS=""' >> "$root/etc/default/libvirtd"
  # No watchdog device in a node.
  mkdir -p "$root/etc/sanlock" && echo 'use_watchdog = 0' >> "$root/etc/sanlock/sanlock.conf"
  in_node systemctl mask -q wdmd
  versions+=(libvirt-daemon-system qemu-system-x86 lvm2 lvm2-lockd sanlock nodejs)
fi
in_node dpkg-query -W "${versions[@]}" > "$aside/versions"

in_node apt-get clean
rm -rf "$root/usr/sbin/policy-rc.d" "$root"/var/lib/apt/lists/* "$root/etc/apt/apt.conf.d"
cp -a "$aside/apt.conf.d" "$root/etc/apt/apt.conf.d"
for folder in proc sys dev; do umount -R -l "$root/$folder"; done
truncate -s 6G "$aside/root.raw"
mke2fs -q -t ext4 -L node -d "$root" "$aside/root.raw"
rm -rf "$root" "$aside/apt.conf.d" "$aside/packages"
touch "$aside/complete"
