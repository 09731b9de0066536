#!/usr/bin/env bash
# bench-carrickctl.sh : measures how long `carrickctl status` takes for 200 agents behind an API server that forwards ports, while none, one and
#                       40 of them do not answer, in turn. Agents answer after 50 ms with a page of 200 peers; --timeout is 2 s, the default.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/requirements.sh

[ $# = 0 ] || { sed -n '2,3p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
require_cargo
cargo test --release --quiet -p carrickctl --test agents -- --ignored --nocapture
