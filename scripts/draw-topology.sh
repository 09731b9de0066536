#!/usr/bin/env bash
# draw-topology.sh : draws the README's picture, docs/topology.svg, from the demo's topology.
set -euo pipefail
cd "$(dirname "$0")/.."
drawn=$(mktemp)
trap 'rm -f "$drawn"' EXIT
cargo run --quiet -p carrick-lab -- draw >"$drawn"
cat "$drawn" >docs/topology.svg
