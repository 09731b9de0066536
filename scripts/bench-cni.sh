#!/usr/bin/env bash
# bench-cni.sh [--json] [--runs N] : attaching and detaching pods with carrick-cni, with the reference plugins
# (bridge and ptp with host-local, with and without portmap), and with the bare netlink calls, interleaved in one run;
# one after the other, and 50 at once. Root. The reference plugins are Debian's containernetworking-plugins:
#   apt-get install --no-install-recommends containernetworking-plugins
# CNI_REFERENCE_PLUGINS names their directory (/usr/lib/cni).
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/requirements.sh

readonly REFERENCE="${CNI_REFERENCE_PLUGINS:-/usr/lib/cni}"

require_cargo
[ "$(id -u)" = 0 ] || { say "bench-cni.sh needs root"; exit 1; }
for plugin in bridge ptp host-local portmap; do
  [ -x "$REFERENCE/$plugin" ] || { say "no $REFERENCE/$plugin: apt-get install containernetworking-plugins"; exit 1; }
done
require iptables ip || exit 1
cargo bench --quiet -p carrick-cni --bench attach -- --reference "$REFERENCE" "$@"
