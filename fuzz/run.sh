#!/usr/bin/env bash
# Runs every fuzz target for a while: fuzz/run.sh [seconds for each, 10 by default] [target…]
#
# Stable Rust and a C++ compiler are all it needs; `cargo fuzz run <target>` (nightly) works on the same targets.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-10}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cd fuzz_targets && ls ./*.rs | sed 's|^\./||; s|\.rs$||')

# Coverage counters for libFuzzer; the rest are the flags the project is always built with.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg=fuzzing -Ccodegen-units=1"
host=$(rustc --print host-tuple)
: "${CARGO_TARGET_DIR:=$PWD/target}"
export CARGO_TARGET_DIR
cargo build --target "$host" --bins
for target in "${targets[@]}"; do
  printf '== %s\n' "$target"
  mkdir -p "corpus/$target" artifacts
  seeds=()
  [ ! -d "seeds/$target" ] || seeds=("seeds/$target")
  "$CARGO_TARGET_DIR/$host/debug/$target" "corpus/$target" "${seeds[@]}" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=512 \
    -artifact_prefix="artifacts/$target-" -print_final_stats=1 2>&1 | grep -E 'ERROR|panicked|stat::(number_of_executed|peak)|SUMMARY' || true
  [ -z "$(ls "artifacts" | grep "^$target-" || true)" ] || { echo "$target: an input breaks it, see fuzz/artifacts" >&2; exit 1; }
done
