#!/usr/bin/env bash
# build-static.sh [--profile release|dev] CRATE... : builds static programs, as users get them, and prints the folder that they
# are in. Needs the Rust target x86_64-unknown-linux-musl, which it adds where there is rustup.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."
source scripts/requirements.sh
readonly TARGET=x86_64-unknown-linux-musl
say() { printf 'static build: %s\n' "$*" >&2; }

profile=release crates=() names=()
while [ $# -gt 0 ]; do
  case $1 in
    --profile) profile=$2; shift 2 ;;
    -*) sed -n '2,3p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2 ;;
    *) crates+=(-p "$1") names+=("$1"); shift ;;
  esac
done

if ! rustup target list --installed 2>/dev/null | grep -qx "$TARGET"; then
  command -v rustup >/dev/null || { say "the Rust target $TARGET is missing; install it, for instance with rustup"; exit 1; }
  rustup target add "$TARGET" >&2
fi
# The C parts of the cryptography library need no C library, so the machine's own compiler does.
export CC_x86_64_unknown_linux_musl=${CC_x86_64_unknown_linux_musl:-cc}
# What cargo tells a test of itself would make build scripts run again, and most of the dependencies with them.
unset CARGO ${!CARGO_PKG_*} ${!CARGO_MANIFEST_*} ${!CARGO_BIN_EXE_*} CARGO_CRATE_NAME CARGO_PRIMARY_PACKAGE
say "building ${names[*]}; minutes the first time, with dependencies ..."
began=$SECONDS
cargo build --quiet --profile "$profile" --target "$TARGET" "${crates[@]}" >&2
say "built after $((SECONDS - began)) s"
target=$(target_directory)
case $profile in dev) directory=debug ;; *) directory=$profile ;; esac
printf '%s\n' "$target/$TARGET/$directory"
