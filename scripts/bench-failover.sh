#!/usr/bin/env bash
# bench-failover.sh [OPTION...] : how long a ping from pod to pod pauses when the gateway that carries it fails, and what its return
# costs: the gateway cut off, its power gone, its WireGuard process killed.
#   --runs N        how often each (20)
#   --failure WAY   one of these ways alone: cut-off, power-off, wire-guard-killed
#   --json          one JSON object on standard output and nothing else
# Needs root: it makes namespaces of processes, mounts and networks, and changes nothing outside them.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/requirements.sh

show_help 7 "$@"
require_root
require_cargo
require ip nft ping
say "building ..."
cargo build --quiet --release -p carrick-agent -p carrick-cni -p carrick-lab >&2
target=$(target_directory)
"$target/release/carrick-lab" bench-failover "$@"
