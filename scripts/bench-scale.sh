#!/usr/bin/env bash
# bench-scale.sh [OPTION...] : what one real agent, static as users get it, costs beside many Node objects on a real
# kube-apiserver and etcd, and how fast the kernel follows a changed endpoint and a new node.
#   --nodes N,N,...  sizes of clusters (5,200,1000,5000)
#   --seconds S      how long a steady cluster is watched (60)
#   --changes N      how many changes of each kind are made (50)
#   --json           one JSON object on standard output and nothing else
# Needs root: it makes namespaces of processes, mounts and networks, and changes nothing outside them. kube-apiserver and etcd
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
cargo build --quiet --release -p carrick-lab >&2
target=$(target_directory)
programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT
ln -s "$static/carrick" "$static/carrick-cni" "$target/release/carrick-lab" "$programs/"
CARRICK_BIN_DIR=$programs "$programs/carrick-lab" bench-scale "$@"
