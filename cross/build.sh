#!/usr/bin/env bash
# Builds the static, stripped binary for one board architecture:
#
#   cross/build.sh aarch64        → dist/coracle-aarch64
#
# Needs: cargo, python3 with venv and pip (for the zig C compiler, which brings musl for every target).
# Where rustup cannot deliver the target's standard library, it is built from Debian's rust-src (dpkg, apt).
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  aarch64) target=aarch64-unknown-linux-musl ;;
  armv7) target=armv7-unknown-linux-musleabihf ;;
  x86_64) target=x86_64-unknown-linux-musl ;;
  *) echo "usage: cross/build.sh aarch64|armv7|x86_64" >&2; exit 2 ;;
esac
arch=$1
tools=${CORACLE_CROSS_TOOLS:-$PWD/target/cross-tools}

# The versions are pinned so that a board's binary does not change with the day it is built.
if [ ! -x "$tools/bin/cargo-zigbuild" ]; then
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet "ziglang==0.15.2" "cargo-zigbuild==0.24.1"
fi
export PATH="$tools/bin:$PATH"

build_std=()
if ! rustup target add "$target" 2>/dev/null; then
  echo "rustup has no standard library for $target: building it from Debian's rust-src" >&2
  cross/rust-src.sh "$tools/rust-src"
  # build-std is unstable; without link-self-contained=no the linker looks for a crt1.o that only rustup ships.
  export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Clink-self-contained=no"
  build_std=(-Zbuild-std=std,panic_abort)
fi

# A panic ends the process: half a MiB of tables for unwinding would never be read.
cargo zigbuild --locked --profile board --bin coracle --target "$target" "${build_std[@]}" \
  --config "target.$target.rustflags = ['-Cforce-unwind-tables=no']"
mkdir -p dist
cp "target/$target/board/coracle" "dist/coracle-$arch"
ls -l "dist/coracle-$arch"
