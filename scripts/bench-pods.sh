#!/usr/bin/env bash
# bench-pods.sh [OPTION...] : how long pods take to come and to go on a real cluster of five nodes, with Carrick's plugin and with the
# reference plugins bridge, host-local and portmap, in turn.
#   --pods N     how many at once (200)
#   --rounds N   how often with each (3)
#   --json       one JSON object on standard output and nothing else
# Needs root and Go, with which it builds Kubernetes the first time; the reference plugins are Debian's containernetworking-plugins, and
# CNI_REFERENCE_PLUGINS names their directory (/usr/lib/cni).
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/requirements.sh

show_help 8 "$@"
require_root
require_cargo
require ip nft tcpdump cc runc busybox strip openssl iptables "$REFERENCE_PLUGINS"/{bridge,host-local,portmap} || exit 1
tests/kubernetes/build.sh cluster >/dev/null
say "building ..."
cargo build --quiet --release -p carrick-lab >&2
target=$(target_directory)
"$target/release/carrick-lab" bench-pods --reference "$REFERENCE_PLUGINS" "$@"
