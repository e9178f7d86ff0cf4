#!/usr/bin/env bash
# Boots an emulated aarch64 board and runs a script on it:
#
#   cross/board/boot.sh BINARY SCRIPT [MEMORY]     memory as qemu reads it; default 512M, what a Pi Zero 2 W has
#
# The board: Debian's kernel, pure cgroup v2, an ext4 disk, two Cortex-A53, no network device, modules not loaded.
# BINARY is /usr/local/bin/coracle there, SCRIPT runs in busybox' sh as root. This command's output is the board's serial
# console, its exit code SCRIPT's; 125: the board did not get that far; 124: not within BOARD_SECONDS_MAX (default 900).
#
# Needs apt, dpkg and cpio, no root. Software emulation: expect a tenth of a Pi's speed.
set -euo pipefail
binary=$(realpath "$1") script=$(realpath "$2") memory=${3:-512M}
here=$(cd "$(dirname "$0")" && pwd)
work=$(cd "$here/../.." && pwd)/target/emulated-board
"$here/fetch.sh" "$work"
parts=$work/root
release=$(basename "$parts"/lib/modules/*)

# What the machine lacks was unpacked, not installed; its own programs come first.
PATH=$PATH:/usr/sbin:/sbin:$work/tools/usr/bin:$work/tools/usr/sbin:$work/tools/sbin
with_tools() {
  local libraries=("$work"/tools/usr/lib/*-linux-gnu* "$work"/tools/lib/*-linux-gnu*)
  LD_LIBRARY_PATH=$(IFS=:; echo "${libraries[*]}") "$@"
}

run=$(mktemp -d "$work/run.XXXXXX")
trap 'rm -rf "$run"' EXIT

# copy_modules INTO NAME…: these modules (a directory below kernel/ stands for all in it) and all they depend on.
copy_modules() {
  local into=$1/lib/modules/$release from=$parts/lib/modules/$release
  shift
  [ -e "$from/modules.dep" ] || with_tools depmod -b "$parts" "$release"
  mkdir -p "$into"
  cp "$from"/modules.{builtin,builtin.modinfo,order} "$into"
  awk -v wanted="$*" '
    BEGIN { count = split(wanted, names, " ") }
    { for (i = 1; i <= count; i++)
        if (index($1, "kernel/" names[i] "/") == 1 || $1 ~ "/" names[i] "[.]ko[.a-z]*:$") {
          sub(":", ""); for (field = 1; field <= NF; field++) print $field; next } }' "$from/modules.dep" |
    sort -u | (cd "$from" && cpio --quiet -pdm "$into")
  with_tools depmod -b "${into%/lib/modules/*}" "$release"
}

disk=$run/disk
mkdir -p "$disk"/{bin,dev,etc,lib,proc,root,run,sbin,sys,tmp,usr/lib,usr/local/bin,usr/sbin,var/lib}
cp "$parts/bin/busybox" "$disk/bin/"
cp "$parts/usr/sbin/nft" "$disk/usr/sbin/"
cp -a "$parts"/lib/*-linux-gnu "$parts"/lib/ld-linux* "$disk/lib/"
cp -a "$parts"/usr/lib/*-linux-gnu "$disk/usr/lib/"
cp "$binary" "$disk/usr/local/bin/coracle"
install -m 755 "$here/init" "$disk/sbin/init"
install -m 755 "$script" "$disk/root/check"
echo board > "$disk/etc/hostname"
echo 'root:x:0:0:root:/root:/bin/sh' > "$disk/etc/passwd"
copy_modules "$disk" overlay veth bridge tun vxlan net/netfilter net/ipv4 net/ipv6 crc32c_generic
# Sparse: only what is written takes space here.
truncate --size 1G "$run/disk.img"
with_tools mkfs.ext4 -q -L board -E root_owner=0:0 -d "$disk" "$run/disk.img"

# The initramfs does what Debian's would: find the disk and hand over. Containers need it: nothing can pivot_root out of an initramfs.
early=$run/early
mkdir -p "$early"/{bin,dev,proc,root,sys}
cp "$parts/bin/busybox" "$early/bin/"
copy_modules "$early" virtio_pci virtio_blk ext4 crc32c_generic
cat > "$early/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev && mount -t proc proc /proc && mount -t sysfs sys /sys
for module in virtio_pci virtio_blk crc32c_generic ext4; do modprobe "$module"; done
mount -t ext4 /dev/vda /root && umount /proc /sys /dev && exec switch_root /root /sbin/init
INIT
chmod 755 "$early/init"
(cd "$early" && find . | cpio --quiet -o -H newc) | gzip -1 > "$run/initramfs.gz"

# A board that hangs is stopped by its own process; `panic=1` with -no-reboot ends one that crashed.
with_tools timeout "${BOARD_SECONDS_MAX:-900}" qemu-system-aarch64 \
  -M virt -cpu cortex-a53 -smp 2 -m "$memory" -nic none -nographic -no-reboot \
  -kernel "$parts/boot/vmlinuz-$release" -initrd "$run/initramfs.gz" -append "console=ttyAMA0 quiet panic=1" \
  -drive "file=$run/disk.img,format=raw,if=virtio" < /dev/null | tr -d '\r' | tee "$run/serial" ||
  { code=${PIPESTATUS[0]}; [ "$code" = 124 ] && exit 124; }
code=$(sed -n 's/^board: the script ended with \([0-9]*\)$/\1/p' "$run/serial" | tail -n 1)
exit "${code:-125}"
