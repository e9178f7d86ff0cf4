#!/usr/bin/env bash
# Fetches what an emulated board is made of, as Debian packages that are only unpacked:
#
#   cross/board/fetch.sh [DIRECTORY]     default: target/emulated-board
#
#   DIRECTORY/root/    aarch64: kernel and modules, static busybox, the nft program with its libraries
#   DIRECTORY/tools/   this machine's own: qemu-system-aarch64, mkfs.ext4, depmod; only those it lacks
#
# Needs apt and dpkg, no root. The machine's own packages and apt lists stay as they are: everything apt writes is below
# DIRECTORY. Downloads are kept; with both done already this ends at once and needs no network.
set -euo pipefail
mkdir -p "${1:-$(dirname "$0")/../../target/emulated-board}"
directory=$(cd "${1:-$(dirname "$0")/../../target/emulated-board}" && pwd)
suite=bookworm
# What runs on the board beside Coracle.
board_packages=(busybox-static nftables)
export LC_ALL=C

# private NAME ARCHITECTURE STATUS: makes `apt`, `cache` for packages of one architecture over the given dpkg status.
private() {
  local state=$directory/apt-$1
  mkdir -p "$state"/{lists/partial,archives/partial}
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  {
    echo "deb [signed-by=$keyring] http://deb.debian.org/debian $suite main"
    echo "deb [signed-by=$keyring] http://deb.debian.org/debian $suite-updates main"
    echo "deb [signed-by=$keyring] http://deb.debian.org/debian-security $suite-security main"
  } > "$state/sources.list"
  options=(-qq
    -o APT::Architecture="$2" -o APT::Architectures="$2" -o APT::Install-Recommends=false -o APT::Sandbox::User=
    -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
    -o Dir::State="$state" -o Dir::State::Lists="$state/lists" -o Dir::State::status="$3" -o Dir::Cache="$state"
    -o Dir::Cache::archives="$state/archives" -o Debug::NoLocking=true)
  apt-get "${options[@]}" update
}

# unpack NAME INTO: every downloaded package of `private NAME`.
unpack() {
  mkdir -p "$2"
  local package
  for package in "$directory/apt-$1"/archives/*.deb; do dpkg -x "$package" "$2"; done
}

if [ ! -e "$directory/root.done" ]; then
  # An empty status: apt downloads the packages with all they depend on, down to libc.
  : > "$directory/no-packages"
  private board arm64 "$directory/no-packages"
  apt-get "${options[@]}" --yes --download-only install "${board_packages[@]}"
  # The kernel without its dependencies: they are there to build an initramfs on the board.
  kernel=$(apt-cache "${options[@]}" depends linux-image-arm64 | awk '/Depends: linux-image/ {print $2; exit}')
  (cd "$directory/apt-board/archives" && apt-get "${options[@]}" download "$kernel")
  rm -rf "$directory/root"
  unpack board "$directory/root"
  touch "$directory/root.done"
fi

tools=()
lacks() { [ -z "$(PATH=$PATH:/usr/sbin:/sbin command -v "$1")" ]; }
lacks qemu-system-aarch64 && tools+=(qemu-system-arm)
lacks mkfs.ext4 && tools+=(e2fsprogs)
lacks depmod && tools+=(kmod)
if [ ${#tools[@]} -gt 0 ] && [ ! -e "$directory/tools.done" ]; then
  private tools "$(dpkg --print-architecture)" /var/lib/dpkg/status
  apt-get "${options[@]}" --yes --download-only install "${tools[@]}"
  rm -rf "$directory/tools"
  unpack tools "$directory/tools"
  # The package's link is absolute.
  [ ! -e "$directory/tools/bin/kmod" ] || ln -sfn ../bin/kmod "$directory/tools/sbin/depmod"
  touch "$directory/tools.done"
fi
