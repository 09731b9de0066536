#!/usr/bin/env bash
# bench-cni.sh [--json] [--runs N] : measures how pods are attached and detached with carrick-cni, static as in a release, with the reference plugins
# (bridge and ptp with host-local, with and without portmap), and with the bare netlink calls, interleaved in one run;
# one after the other, and 50 at once. Needs root. The reference plugins are Debian's containernetworking-plugins;
# CNI_REFERENCE_PLUGINS names their directory (/usr/lib/cni).
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/requirements.sh

require_cargo
[ "$(id -u)" = 0 ] || { say "bench-cni.sh needs root"; exit 1; }
require iptables ip "$REFERENCE_PLUGINS"/{bridge,ptp,host-local,portmap} || exit 1
plugin=$(scripts/build-static.sh carrick-cni)/carrick-cni
cargo bench --quiet -p carrick-cni --bench attach -- --plugin "$plugin" --reference "$REFERENCE_PLUGINS" "$@"
