#!/usr/bin/env bash
# bench-drift.sh [OPTION...] : measures how long the agent takes to put right what another program deleted or changed, at random
# moments, for every kind of object that the agent writes.
#   --runs N     the number of times that each thing is deleted or changed (20)
#   --only WORD  only things whose name contains this word
#   --json       one JSON object on standard output and nothing else
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
"$target/release/carrick-bench" drift "$@"
