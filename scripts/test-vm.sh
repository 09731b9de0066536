#!/usr/bin/env bash
# test-vm.sh [PART...] : tests on kernels with WireGuard, in a virtual machine: the named parts, or all of them.
#   dataplane  netlink and the dataplane against the kernel of Debian
#   cni        the CNI plugin there, with host ports of SCTP
#   lab        the demo's clouds on kernel WireGuard, nodes with and without it in one mesh, sessions across a restart
#   no-ipv6    agents and pods on a kernel that was started with ipv6.disable=1
#   kernels    on the oldest and the newest kernel that Debian has: what depends on the kernel's version, and two agents whose pods
#              reach each other
# The programs are built outside. Exit code 0 if all is well. See scripts/run-in-vm.sh for what it needs.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/requirements.sh

readonly PARTS=(dataplane cni lab no-ipv6 kernels)
# Suites of Debian beside the machine's own, with their kernels: 5.10, and the newest one.
readonly SUITES=(bullseye trixie-backports)
# Without /dev/net/tun there is no userspace WireGuard.
readonly MODULES=wireguard,tun
# Read once in a row, the programs start at once; page by page they take seconds.
readonly PROGRAMS='target/debug/carrick target/debug/carrick-cni target/debug/carrick-lab'

usage() { sed -n '2,9p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }

# The first ones make the kernel load modules, so each needs a machine of its own.
dataplane() {
  local netlink dataplane handover test
  netlink=$(scripts/tests.py program carrick-netlink kernel) && dataplane=$(scripts/tests.py program carrick-dataplane kernel) &&
    handover=$(scripts/tests.py program carrick-dataplane handover) || return 1
  for test in nftables::modules::a_change_while_a_module_is_loaded_is_noticed \
    wireguard::modules_are_loaded_for_a_process_with_net_admin_alone; do
    scripts/run-in-vm.sh -v "$netlink --ignored --exact $test" || return 1
  done
  scripts/run-in-vm.sh -v -t 900 -l "$MODULES" "$netlink && $dataplane --include-ignored && $handover --include-ignored"
}

cni() {
  local plugin
  plugin=$(scripts/tests.py program carrick-cni plugin) || return 1
  # The others are about files and their locks, to which a kernel adds nothing.
  scripts/run-in-vm.sh -v -t 900 "$plugin attach:: detach:: host_port:: isolation:: traffic:: && $plugin --ignored"
}

lab() {
  local mesh
  mesh=$(scripts/tests.py program carrick-lab mesh) || return 1
  scripts/run-in-vm.sh -v -t 1800 -l "$MODULES" \
    "cat $PROGRAMS >/dev/null && $mesh --ignored kernel_wireguard --test-threads=1"
}

no-ipv6() {
  local mesh
  mesh=$(scripts/tests.py program carrick-lab mesh) || return 1
  scripts/run-in-vm.sh -v -t 900 -l "$MODULES" -a ipv6.disable=1 \
    "cat $PROGRAMS >/dev/null && $mesh --ignored without_ipv6_in_the_kernel"
}

# Messages of netlink, WireGuard's attributes, expressions of nftables, one plan, and agents end to end: each kernel decodes them itself.
kernels() {
  local netlink dataplane mesh suite code failed=
  netlink=$(scripts/tests.py program carrick-netlink kernel) && dataplane=$(scripts/tests.py program carrick-dataplane kernel) &&
    mesh=$(scripts/tests.py program carrick-lab mesh) || return 1
  for suite in "${SUITES[@]}"; do
    code=0
    scripts/run-in-vm.sh -k "$suite" true || code=$?
    if [ "$code" = 125 ]; then
      say "SKIPPED: kernels: there is no virtual machine with the kernel of Debian's suite $suite; the line above says why"
      if [ "${CARRICK_REQUIRE_ALL:-}" = 1 ]; then failed=1; fi
      continue
    fi
    scripts/run-in-vm.sh -v -t 900 -k "$suite" -l "$MODULES" \
      "uname -r; $netlink && $dataplane --include-ignored kernel_ apply && cat $PROGRAMS >/dev/null && $mesh --ignored agents_choose" ||
      failed=1
  done
  [ -z "$failed" ]
}

[ $# -gt 0 ] || set -- "${PARTS[@]}"
for part in "$@"; do
  [[ " ${PARTS[*]} " == *" $part "* ]] || usage
done
require_cargo
require python3
failed=()
for part in "$@"; do
  say "== $part, in a virtual machine"
  "$part" || failed+=("$part")
done
if [ ${#failed[@]} -gt 0 ]; then say "FAILED: ${failed[*]}"; exit 1; fi
