#!/usr/bin/env bash
# bench-pods.sh [OPTION...] : measures how long pods take to start and to end on a real cluster of five nodes, with Carrick's plugin and
# with the reference plugins bridge, host-local and portmap, in turn.
#   --pods N     the number of pods (200)
#   --rounds N   the number of rounds with each plugin (3)
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
cargo build --quiet --release -p carrick-lab -p carrick-bench >&2
target=$(target_directory)
"$target/release/carrick-bench" pods --reference "$REFERENCE_PLUGINS" "$@"
