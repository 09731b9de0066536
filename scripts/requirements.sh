# shellcheck shell=bash
# Sourced by the other scripts: what they need from the machine, checked before anything starts.

# Where the reference CNI plugins are.
readonly REFERENCE_PLUGINS=${CNI_REFERENCE_PLUGINS:-/usr/lib/cni}

# The Debian and Ubuntu packages of the commands that the lab and the tests run.
declare -A PACKAGE_OF=(
  [ip]=iproute2 [nft]=nftables [ping]=iputils-ping [tcpdump]=tcpdump [unshare]=util-linux [nsenter]=util-linux [mount]=mount
  [sysctl]=procps [wg]=wireguard-tools [iptables]=iptables [cc]=gcc [c++]=g++ [aarch64-linux-gnu-gcc]=gcc-aarch64-linux-gnu [x86_64-linux-gnu-gcc]=gcc-x86-64-linux-gnu [openssl]=openssl [runc]=runc [busybox]=busybox-static [strip]=binutils
  [tc]=iproute2 [jq]=jq [chromium]=chromium [chromedriver]=chromium-driver [setpriv]=util-linux
  [qemu-system-x86_64]=qemu-system-x86 [modprobe]=kmod [depmod]=kmod [cpio]=cpio [xz]=xz-utils [flock]=util-linux [timeout]=coreutils [faketime]=faketime [python3]=python3
)
for plugin in bandwidth bridge host-local loopback portmap ptp tuning; do PACKAGE_OF[$REFERENCE_PLUGINS/$plugin]=containernetworking-plugins; done

say() { printf '%s\n' "$*" >&2; }

# The headers of the C library, which the compiler for another architecture only recommends.
PACKAGE_OF[/usr/aarch64-linux-gnu/include/stdint.h]=libc6-dev-arm64-cross
PACKAGE_OF[/usr/x86_64-linux-gnu/include/stdint.h]=libc6-dev-amd64-cross

# require COMMAND|FILE... : installs what is missing where that is possible, else names it and fails.
require() {
  local command missing=()
  for command in "$@"; do
    command -v "$command" >/dev/null || [ -e "$command" ] || missing+=("${PACKAGE_OF[$command]:-$command}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing: ${missing[*]}"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >&2 && return 0
  fi
  say "missing: ${missing[*]}; install with: sudo apt-get install --no-install-recommends ${missing[*]}"
  return 1
}

require_cargo() {
  command -v cargo >/dev/null && return 0
  say "missing: cargo, of Rust 1.95 or newer; install Rust as https://rustup.rs describes"
  return 1
}

require_root() {
  [ "$(id -u)" = 0 ] && return 0
  say "this needs root, because it makes network namespaces; run: sudo -E $0"
  return 1
}

# show_help LINE ARGUMENT... : prints the script's head, from its second line to this one, and ends, where the arguments ask for it.
show_help() {
  case " ${*:2} " in *" --help "* | *" -h "*) sed -n "2,$1p" "$0" | sed 's/^# \{0,1\}//'; exit ;; esac
}

# Where cargo builds.
target_directory() {
  cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'
}
