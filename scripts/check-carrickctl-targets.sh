#!/usr/bin/env bash
# check-carrickctl-targets.sh : carrickctl compiles for Linux, macOS and Windows, without warnings; for Windows it is linked too, where
#                               MinGW's compiler is. Its cryptography has parts in C: without MinGW, and for macOS, zig compiles these
#                               (from PATH, else out of Python's package `ziglang`). Minutes at first, seconds when nothing changed.
# Exit code 77: a target could not be checked; the line says why.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/requirements.sh

readonly TOOLS=$PWD/target/tools
unchecked=()

skip() { # TARGET WHY
  unchecked+=("$1")
  say "SKIPPED $1: $2"
}

have_target() { rustup target list --installed 2>/dev/null | grep -qx "$1" || rustup target add "$1" >&2; }

# Names a command that is zig.
zig_command() {
  type -P zig && return
  [ -d "$TOOLS/zig" ] || { python3 -m venv "$TOOLS/zig" && "$TOOLS/zig/bin/pip" install --quiet ziglang; } >&2 || { rm -rf "$TOOLS/zig"; return 1; }
  say "zig comes from Python's package ziglang" && echo "$TOOLS/zig/bin/python -m ziglang"
}

# Makes a C compiler for a target out of zig, which has other names for targets than Rust.
zig_compiler() { # ZIG RUST-TARGET ZIG-TARGET
  local variable=${2//-/_}
  mkdir -p "$TOOLS"
  cat >"$TOOLS/cc-$2" <<END
#!/usr/bin/env bash
arguments=()
while [ \$# -gt 0 ]; do
  case "\$1" in --target=* | -m64 | -mmacosx-version-min=*) ;; -arch) shift ;; *) arguments+=("\$1") ;; esac
  shift
done
exec $1 cc -target $3 "\${arguments[@]}"
END
  printf '#!/bin/sh\nexec %s ar "$@"\n' "$1" >"$TOOLS/ar-$2"
  chmod +x "$TOOLS/cc-$2" "$TOOLS/ar-$2"
  export "CC_$variable=$TOOLS/cc-$2" "AR_$variable=$TOOLS/ar-$2"
}

check() { cargo clippy -p carrickctl --target "$1" -- -D warnings; }

linux() { cargo clippy -p carrickctl -- -D warnings; }

windows() {
  local target=x86_64-pc-windows-gnu zig
  have_target "$target" || { skip "$target" "rustup cannot add it"; return 0; }
  if command -v x86_64-w64-mingw32-gcc >/dev/null; then
    check "$target" && cargo build -p carrickctl --target "$target"
  elif zig=$(zig_command); then
    zig_compiler "$zig" "$target" x86_64-windows-gnu
    say "$target is not linked: there is no x86_64-w64-mingw32-gcc (Debian's package gcc-mingw-w64-x86-64)"
    check "$target"
  else
    skip "$target" "there is no C compiler for it: neither MinGW nor zig"
  fi
}

macos() {
  local target=aarch64-apple-darwin zig
  have_target "$target" || { skip "$target" "rustup cannot add it"; return 0; }
  zig=$(zig_command) || { skip "$target" "there is no C compiler for it: no zig"; return 0; }
  zig_compiler "$zig" "$target" aarch64-macos
  check "$target"
}

[ $# = 0 ] || { sed -n '2,5p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
require_cargo
command -v rustup >/dev/null || { say "missing: rustup, which adds targets; see https://rustup.rs"; exit 77; }
for system in linux windows macos; do
  say "== $system"
  "$system"
done
[ ${#unchecked[@]} = 0 ] || exit 77
