#!/usr/bin/env bash
# Puts the standard library's sources of exactly this rustc where cargo's build-std looks for them,
# from Debian's package rust-src (trixie-backports), without touching the machine's own apt configuration.
#
#   cross/rust-src.sh DIRECTORY
set -euo pipefail
directory=$1
library=$(rustc --print sysroot)/lib/rustlib/src/rust/library
[ -e "$library" ] && exit 0
version=$(rustc --version | cut -d' ' -f2)

mkdir -p "$directory"/{lists/partial,archives/partial,unpacked}
directory=$(cd "$directory" && pwd)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie-backports main" > "$directory/sources.list"
apt=(apt-get -o Dir::Etc::SourceList="$directory/sources.list" -o Dir::Etc::SourceParts=/dev/null
     -o Dir::State::Lists="$directory/lists" -o Dir::Cache="$directory" -o Dir::Cache::archives="$directory/archives")
"${apt[@]}" update >/dev/null
package=$(apt-cache -o Dir::Etc::SourceList="$directory/sources.list" -o Dir::Etc::SourceParts=/dev/null \
  -o Dir::State::Lists="$directory/lists" -o Dir::Cache="$directory" madison rust-src | awk -v v="$version" '$3 ~ "^"v {print $3; exit}')
if [ -z "$package" ]; then
  echo "Debian's trixie-backports has no rust-src $version; install the sources of this toolchain with 'rustup component add rust-src'" >&2
  exit 1
fi
(cd "$directory/archives" && "${apt[@]}" download "rust-src=$package")
dpkg -x "$directory"/archives/rust-src_*.deb "$directory/unpacked"
mkdir -p "$(dirname "$library")"
ln -sfn "$directory/unpacked/usr/src/rustc-$version/library" "$library"
