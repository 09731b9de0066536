#!/usr/bin/env bash
# record-netlink.sh : writes what a kernel with WireGuard says into the corpora of the netlink targets, from a virtual machine.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/requirements.sh
require ip nft wg iptables tc python3

recording=$(mktemp)
trap 'rm "$recording"' EXIT
scripts/run-in-vm.sh -v -t 600 -l wireguard,vxlan "$(command -v python3) fuzz/record-netlink.py" >"$recording"
while read -r name datagram; do
  base64 --decode <<<"$datagram" >"fuzz/corpus/$name"
done <"$recording"
