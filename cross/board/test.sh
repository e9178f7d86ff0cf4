#!/usr/bin/env bash
# Proves the aarch64 binary on an emulated board with pure cgroup v2: doctor, demo, a pod with limits, reset.
#
#   cross/board/test.sh [BINARY]     default: dist/coracle-aarch64, as cross/build.sh aarch64 leaves it
#
# Prints the board's console; ends with 0 if every check held. What is checked: checks.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
binary=${1:-dist/coracle-aarch64}
[ -x "$binary" ] || { echo "there is no $binary; build it with cross/build.sh aarch64" >&2; exit 2; }
if cross/board/boot.sh "$binary" cross/board/checks.sh; then
  echo "board: every check held, in $SECONDS s"
else
  echo "board: failed (exit code $?) after $SECONDS s; the last FAIL line above says what" >&2
  exit 1
fi
