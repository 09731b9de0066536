#!/usr/bin/env bash
# test-runtimes.sh [TEST...] : podman and containerd of the machine's distribution, and cnitool, call the CNI plugin for containers
# that ping.
# Nothing is installed and no service started: what is missing is unpacked into target/runtimes, and everything runs in namespaces
# of its own, where /etc, /opt, /run and /var are copies that vanish. Runtimes that cannot be had are named and skipped, with
# CARRICK_REQUIRE_ALL=1 that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/requirements.sh

readonly CNITOOL=github.com/containernetworking/cni/cnitool@v1.3.0
readonly TOOLS=${CARGO_TARGET_DIR:-target}/runtimes
readonly CONTROL_GROUP=carrick-runtimes # as in cni-plugin/tests/runtimes/plugin.rs

# Unpacks the packages of a runtime, with those of its libraries that the machine does not have.
fetch_packages() { # PROGRAM PACKAGE...
  local program=$1 archives
  command -v "$program" >/dev/null && return 0
  if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then return 1; fi
  shift
  archives=$(mktemp -d)
  chmod 755 "$archives" # apt's own user writes there
  apt-get update -qq >&2 || return 1
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends --download-only \
    -o "Dir::Cache::archives=$archives" "$@" >&2 || return 1
  find "$archives" -name '*.deb' -exec dpkg-deb -x {} "$TOOLS/packages" \;
  rm -r "$archives"
}

build_clients() {
  command -v go >/dev/null || return 1
  GOBIN=$clients go install "$CNITOOL" >&2 &&
    (cd tests/runtimes/cri && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$clients/cri" .) >&2
}

make_image() { # OUT
  local busybox tool pause files=()
  busybox=$(command -v busybox)
  for tool in httpd ping sh sleep; do files+=("$busybox=bin/$tool"); done
  pause=$(mktemp)
  printf '#!/bin/sh\nexec sleep 1000\n' >"$pause"
  deploy/image/archive.sh "$1" localhost/box:runtimes /bin/pause "${files[@]}" "$pause=bin/pause"
  rm "$pause"
}

# Runs the tests where what runtimes write stays.
inside() { # TEST-PROGRAM [TEST...]
  local directory
  mount -t tmpfs tmpfs /mnt
  for directory in etc opt var; do
    mkdir -p "/mnt/$directory/upper" "/mnt/$directory/work"
    mount -t overlay overlay -o "lowerdir=/$directory,upperdir=/mnt/$directory/upper,workdir=/mnt/$directory/work" "/$directory"
  done
  for directory in /run /dev/shm /etc/cni /etc/containers /opt/cni /var/lib/cni; do
    mkdir -p "$directory"
    mount -t tmpfs tmpfs "$directory"
  done
  mkdir /run/tmp /run/home
  TMPDIR=/run/tmp HOME=/run/home exec "$1" --ignored --test-threads=1 --nocapture "${@:2}"
}

# Runtimes leave the groups above those of their containers.
remove_control_groups() {
  local group
  for group in "/sys/fs/cgroup/$CONTROL_GROUP" /sys/fs/cgroup/*/"$CONTROL_GROUP"; do
    [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} +
  done
}

if [ "${1:-}" = --inside ]; then
  shift
  inside "$@"
fi

require_root
require_cargo
require ip nft ping unshare mount runc busybox python3 "$REFERENCE_PLUGINS/loopback"
mkdir -p "$TOOLS/packages" "$TOOLS/clients"
packages=$(realpath "$TOOLS/packages")
clients=$(realpath "$TOOLS/clients")
PATH=$clients:$packages/usr/bin:$packages/usr/sbin:$PATH
libraries=$(uname -m)-linux-gnu

fetch_packages podman podman conmon || say "podman is neither installed nor to be had as a package"
fetch_packages containerd containerd || say "containerd is neither installed nor to be had as a package"
build_clients || say "cnitool and the client of the Container Runtime Interface cannot be built: there is no Go, or no module proxy"

tests=$(scripts/tests.py program carrick-cni runtimes)
image=$(mktemp --suffix .tar -p "$TOOLS")
trap 'rm -f "$image"; remove_control_groups' EXIT
make_image "$image"
CARRICK_RUNTIMES_IMAGE=$(realpath "$image") LD_LIBRARY_PATH=$packages/usr/lib/$libraries:$packages/lib/$libraries \
  unshare --net --mount --pid --fork --kill-child --mount-proc "$0" --inside "$tests" "$@"
