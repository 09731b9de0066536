#!/usr/bin/env bash
# bench-scale.sh [OPTION...] : measures what one real agent, static as in a release, costs beside many Node objects on a real
# kube-apiserver and etcd, and how fast the kernel follows a changed endpoint and a new node.
#   --nodes N,N,...  the sizes of the clusters (5,200,1000,5000)
#   --seconds S      how long a steady cluster is measured (60)
#   --changes N      the number of changes of each kind (50)
#   --json           one JSON object on standard output and nothing else
# Needs root: it makes PID, mount and network namespaces, and changes nothing outside them. kube-apiserver and etcd
# are built with Go the first time.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/requirements.sh

show_help 9 "$@"
require_root
require_cargo
require cc ip nft
say "building ..."
static=$(scripts/build-static.sh carrick-agent carrick-cni)
cargo build --quiet --release -p carrick-lab -p carrick-bench >&2
target=$(target_directory)
programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT
ln -s "$static/carrick" "$static/carrick-cni" "$target/release/carrick-lab" "$target/release/carrick-bench" "$programs/"
CARRICK_BIN_DIR=$programs "$programs/carrick-bench" scale "$@"
