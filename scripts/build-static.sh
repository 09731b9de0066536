#!/usr/bin/env bash
# build-static.sh [--profile release|dev] [--arch amd64|arm64] CRATE... : builds static programs, as users get them, and prints the folder that
# they are in. Adds the Rust target where there is rustup. A release has no path of this machine in it. To build for the other
# architecture, Debian's packages gcc-aarch64-linux-gnu and libc6-dev-arm64-cross, or those for x86-64, are needed.
#   --arch  the architecture (that of this machine)
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."
source scripts/requirements.sh
say() { printf 'static build: %s\n' "$*" >&2; }
usage() { sed -n '2,5p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }

here=$(uname -m)
case $here in aarch64) arch=arm64 ;; *) arch=amd64 ;; esac
profile=release crates=() names=()
while [ $# -gt 0 ]; do
  case $1 in
    --profile) profile=$2; shift 2 ;;
    --arch) arch=$2; shift 2 ;;
    -*) usage ;;
    *) crates+=(-p "$1") names+=("$1"); shift ;;
  esac
done
case $arch in amd64) machine=x86_64 ;; arm64) machine=aarch64 ;; *) usage ;; esac
readonly TARGET=$machine-unknown-linux-musl

if ! rustup target list --installed 2>/dev/null | grep -qx "$TARGET"; then
  command -v rustup >/dev/null || { say "the Rust target $TARGET is missing; install it, for instance with rustup"; exit 1; }
  rustup target add "$TARGET" >&2
fi
# The C parts of the cryptography library need no C library, so a compiler for another one does.
variable=${TARGET//-/_}
if [ "$machine" = "$here" ]; then
  compiler=cc
else
  compiler=$machine-linux-gnu-gcc
  require "$compiler" "/usr/$machine-linux-gnu/include/stdint.h"
  linker=CARGO_TARGET_${variable^^}_LINKER
  export "$linker=${!linker:-$compiler}"
fi
compiler_variable=CC_$variable
export "$compiler_variable=${!compiler_variable:-$compiler}"
if [ "$profile" = release ]; then
  # Two checkouts give the same bytes.
  cargo_home=${CARGO_HOME:-$HOME/.cargo}
  flags=CARGO_TARGET_${variable^^}_RUSTFLAGS
  export "$flags=${!flags:-} --remap-path-prefix=$PWD=/carrick --remap-path-prefix=$cargo_home=/cargo"
fi
# What cargo tells a test of itself would make build scripts run again, and most of the dependencies with them.
unset CARGO ${!CARGO_PKG_*} ${!CARGO_MANIFEST_*} ${!CARGO_BIN_EXE_*} CARGO_CRATE_NAME CARGO_PRIMARY_PACKAGE
say "building ${names[*]} for $arch; minutes the first time, with dependencies ..."
began=$SECONDS
cargo build --quiet --profile "$profile" --target "$TARGET" "${crates[@]}" >&2
say "built after $((SECONDS - began)) s"
target=$(target_directory)
case $profile in dev) directory=debug ;; *) directory=$profile ;; esac
printf '%s\n' "$target/$TARGET/$directory"
