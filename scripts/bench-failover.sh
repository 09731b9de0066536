#!/usr/bin/env bash
# bench-failover.sh [OPTION...] : measures how long a ping from pod to pod pauses when the gateway that carries it fails, and what the
# gateway's return costs: the gateway is cut off, loses its power, or its WireGuard process is killed.
#   --runs N        the number of runs of each failure (20); 0: only what probing costs
#   --failure KIND  only this failure: cut-off, power-off, wire-guard-killed
#   --json          one JSON object on standard output and nothing else
# Needs root: it makes PID, mount and network namespaces, and changes nothing outside them.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/requirements.sh

show_help 7 "$@"
require_root
require_cargo
require ip nft ping
say "building ..."
cargo build --quiet --release -p carrick-agent -p carrick-cni -p carrick-lab -p carrick-bench >&2
target=$(target_directory)
"$target/release/carrick-bench" failover "$@"
