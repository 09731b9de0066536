#!/usr/bin/env bash
# test.sh [--fuzz] [TIER...] : runs the named tiers, or all but `runtimes`, and prints how long each tier and the slowest tests took.
#   --fuzz  looks for input that breaks a parser, for CARRICK_FUZZ_SECONDS (20) per target, in all about four minutes; other
#           tiers only when named too. Needs a C++ compiler and cargo-fuzz, which it installs, and no nightly Rust.
#   checks  formatting, lints, a tier for every test, licences and sources of dependencies, the graph of
#           crates, long files, documents, workflows, alert rules, the dashboard's queries, the Helm chart, the image's format
#   pure    unit, property and model tests, and the examples in the documentation; no privileges
#   kernel  netlink, nftables, dataplane, userspace WireGuard and the CNI plugin in network namespaces; root
#   lab     agents in simulated clouds, with real packets; root
#   browser the dashboard in a browser, on agents in simulated clouds; root, chromium and its driver
#   api     the client against a real kube-apiserver and etcd; root, and Go to build them the first time
#   cluster Carrick as a DaemonSet on real kubelets in simulated clouds, with real pods and Services; root, and Go as above:
#           the first run builds Kubernetes, which takes a quarter of an hour or more
#   vm      kernels 5.10, 6.1 and the newest, with WireGuard, in virtual machines whose processor is usually emulated
#   runtimes  join-node.sh in bare Debian and Ubuntu roots; podman, containerd and cnitool call the CNI plugin for containers that
#           ping; only when named: they come from the distributions and through Go; root
# Each crate declares the tiers of its tests in its Cargo.toml; scripts/tests.py describes the format. All tiers run the programs of
# one build of the whole workspace.
# A tier that the machine cannot run is skipped, and the reason is printed. With CARRICK_REQUIRE_ALL=1 a skipped tier is a failure,
# except for those that CARRICK_MAY_SKIP lists. With CARRICK_TEST_MINUTES=N, `cluster` and `vm` are also skipped when they may not
# end within N minutes from the start.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/requirements.sh

readonly UNNAMED=(checks pure kernel lab browser api cluster vm)
readonly TIERS=("${UNNAMED[@]}" runtimes)
# What a tier may take in minutes, when nothing is built and the machine has other work.
declare -rA MINUTES_OF=([cluster]=35 [vm]=15)
readonly LINES_OF_A_FILE=420
readonly FUZZ_SECONDS=${CARRICK_FUZZ_SECONDS:-20}
skipped=() failed=() timings=() refused=0 built=

usage() { sed -n '2,21p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }

checks() {
  scripts/tests.py check "${TIERS[@]}" && cargo fmt --check && cargo clippy --workspace --all-targets -- -D warnings || return 1
  cargo update --quiet --workspace --locked --manifest-path fuzz/Cargo.toml || { say "fuzz/Cargo.lock is stale: cargo update --workspace --manifest-path fuzz/Cargo.toml"; return 1; }
  scripts/crate-graph.py --quiet --level files && short_files && scripts/check-docs.py && scripts/check-image.py || return 1
  monitoring && workflows && chart || return 1
  if command -v cargo-deny >/dev/null; then
    cargo deny check licenses bans sources
  elif [ -n "${CARRICK_REQUIRE_ALL:-}" ]; then
    cargo install --locked --quiet cargo-deny && cargo deny check licenses bans sources
  else
    skip "cargo deny" "it is not installed: cargo install --locked cargo-deny"
  fi
}

# A file holds one idea; a longer one holds several.
short_files() {
  git ls-files -z '*.rs' | xargs -0 wc -l | awk -v most="$LINES_OF_A_FILE" '
    $2 != "total" && $1 > most { printf "%s has %d lines, more than %d: split it\n", $2, $1, most > "/dev/stderr"; long = 1 }
    END { exit long }'
}

monitoring() {
  local code=0
  scripts/check-monitoring.sh || code=$?
  [ "$code" != 77 ] || { skip "alert rules" "promtool is neither installed nor in Debian's packages here"; return 0; }
  return "$code"
}

workflows() {
  local code=0
  scripts/check-workflows.sh || code=$?
  [ "$code" != 77 ] || { skip workflows "there is no Go to build actionlint with, or it cannot download it"; return 0; }
  return "$code"
}

chart() {
  local code=0
  scripts/check-chart.sh || code=$?
  [ "$code" != 77 ] || { skip chart "there is no Go to build helm and kubeconform with, or it cannot download them"; return 0; }
  return "$code"
}

pure() {
  scripts/tests.py run pure && cargo test --workspace --doc
}

kernel() {
  privileged || { skip kernel "it needs root"; return 0; }
  require ip nft ping tc wg iptables unshare "$REFERENCE_PLUGINS"/{portmap,tuning,bandwidth} || return 1
  scripts/tests.py run kernel
}

lab() {
  privileged || { skip lab "it needs root"; return 0; }
  require ip nft ping tcpdump unshare nsenter sysctl faketime || return 1
  scripts/tests.py run lab
}

browser() {
  privileged || { skip browser "it needs root"; return 0; }
  require ip nft ping unshare nsenter sysctl || return 1
  require chromium chromedriver setpriv || { skip browser "chromium and its driver cannot be installed"; return 0; }
  scripts/tests.py run browser
}

api() {
  privileged || { skip api "it needs root"; return 0; }
  kubernetes api apiserver || return $(($? == 3 ? 0 : 1))
  scripts/tests.py run api
}

cluster() {
  privileged || { skip cluster "it needs root"; return 0; }
  require ip nft ping tcpdump unshare nsenter sysctl cc runc busybox strip openssl || return 1
  control_groups || { skip "cluster without control groups" "kubelets and runc need them, and none can be made here"; return 0; }
  kubernetes cluster cluster || return $(($? == 3 ? 0 : 1))
  scripts/tests.py run cluster
}

# Whether control groups can be made, in the unified hierarchy (version 2) or in that of the memory controller (version 1).
control_groups() {
  local hierarchy group
  for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/memory; do
    if [ -e "$hierarchy/cgroup.procs" ] && group=$(mktemp -d "$hierarchy/carrick-test.XXXXXX" 2>/dev/null); then
      rmdir "$group"
      return
    fi
  done
  return 1
}

runtimes() {
  privileged || { skip runtimes "it needs root"; return 0; }
  scripts/test-join-node.sh && scripts/test-runtimes.sh
}

# Has Kubernetes' programs of a set built; 3 if the tier has been skipped because Go or its modules are missing.
kubernetes() { # TIER SET
  local code=0 reason="there is no Go to build Kubernetes with"
  tests/kubernetes/build.sh "$2" >/dev/null || code=$?
  if command -v go >/dev/null; then reason="Go cannot download Kubernetes' modules"; fi
  [ "$code" != 3 ] || skip "$1" "$reason, and KUBEBUILDER_ASSETS is not set"
  return "$code"
}

fuzz() {
  require c++ || return 1
  command -v cargo-fuzz >/dev/null || { say "installing: cargo-fuzz"; cargo install --locked --quiet cargo-fuzz; } || return 1
  local directory=fuzz target options found
  found=$(mktemp -d)
  # Of what it finds on the way, only what breaks something is worth keeping; that is in artifacts/.
  # The address sanitizer would need a nightly Rust, and there is no unsafe code to watch.
  for target in $(cargo fuzz list --fuzz-dir "$directory"); do
    mkdir "$found/$target"
    options=(-max_total_time="$FUZZ_SECONDS" -timeout=10 -print_final_stats=1)
    [ ! -f "$directory/dictionaries/$target.dict" ] || options+=(-dict="$directory/dictionaries/$target.dict")
    cargo fuzz run --fuzz-dir "$directory" --sanitizer none "$target" "$found/$target" "$directory/corpus/$target" -- \
      "${options[@]}" || return 1
  done
  rm -r "$found"
}

vm() {
  if [ "$(uname -m)" != x86_64 ] || ! command -v apt-get >/dev/null; then
    skip vm "it boots Debian's kernel for x86_64, which this machine cannot run or get"
    return 0
  fi
  require qemu-system-x86_64 busybox modprobe depmod cpio xz flock timeout ||
    { skip vm "QEMU cannot be had, or what prepares its virtual machine"; return 0; }
  require ip nft ping wg tcpdump iptables unshare nsenter sysctl || return 1
  local code=0
  scripts/run-in-vm.sh true || code=$?
  if [ "$code" = 125 ]; then
    skip vm "there is no virtual machine to be had: the line of run-in-vm above says why"
    return 0
  fi
  scripts/test-vm.sh
}

privileged() { [ "$(id -u)" = 0 ]; }

skip() { # WHAT WHY
  skipped+=("$1: $2")
  case ",${CARRICK_MAY_SKIP:-}," in *",$1,"*) ;; *) refused=$((refused + 1)) ;; esac
  say "SKIPPED $1: $2"
}

in_time() { # TIER
  [ -n "${CARRICK_TEST_MINUTES:-}" ] || return 0
  local left=$((CARRICK_TEST_MINUTES - SECONDS / 60)) needed=${MINUTES_OF[$1]:-0}
  [ "$needed" -gt "$left" ] || return 0
  skip "$1 for lack of time" "it may take $needed minutes, and $left of CARRICK_TEST_MINUTES are left"
  return 1
}

# Builds once what all other tiers run, so that no tier's time has it.
build() {
  local started=$SECONDS
  [ -z "$built" ] || return 0
  built=1
  say "== build"
  scripts/tests.py build || failed+=(build)
  timings+=("build $((SECONDS - started)) s")
}

run_tier() {
  local started
  [ "$1" = checks ] || [ "$1" = fuzz ] || build
  started=$SECONDS
  say "== $1"
  in_time "$1" || return 0
  "$1" > >(tee -a "$log") 2>&1 || failed+=("$1")
  timings+=("$1 $((SECONDS - started)) s")
}

# What the tests that failed said, and the step that they were in: one place at the end instead of one in thousands of lines.
causes() {
  tr -d '\r' <"$log" | awk '
    /^step .*\.\.\.$/ { step = " in " $0 }
    /^test .* \.\.\./ || /^-- / { step = "" }
    /^(\[[ 0-9.]*\] )?thread .* panicked at/ || /^Error: / { print ""; print $0 step; left = 20; next }
    /^stack backtrace:/ || /^note: / || /^$/ { left = 0 }
    left > 0 { print; left-- }' >&2
}

tiers=()
for word in "$@"; do
  if [ "$word" = --fuzz ]; then tiers+=(fuzz)
  elif [[ " ${TIERS[*]} " == *" $word "* ]]; then tiers+=("$word")
  else usage
  fi
done
[ ${#tiers[@]} -gt 0 ] || tiers=("${UNNAMED[@]}")
require_cargo
require python3
times=$(target_directory)/test-times.tsv
log=$(target_directory)/test.log
mkdir -p "$(dirname "$log")"
rm -f "$times" "$log"
for tier in "${tiers[@]}"; do run_tier "$tier"; done

say "== took: $(printf '%s, ' "${timings[@]}" | sed 's/, $//')"
if [ -s "$times" ]; then
  say "== the slowest tests, in seconds:"
  # All of the input is read: a program that ends before its input does fails the pipe.
  sort -rn "$times" | awk -F '\t' 'NR <= 10 { printf "%8.1f  %-8s %-32s %s\n", $1, $2, $3, $4 }' >&2
fi
for line in ${skipped[@]+"${skipped[@]}"}; do say "SKIPPED $line"; done
if [ ${#failed[@]} -gt 0 ]; then
  say "== what failed said:"
  causes
  say "FAILED: ${failed[*]}"
  exit 1
fi
if [ -n "${CARRICK_REQUIRE_ALL:-}" ] && [ "$refused" -gt 0 ]; then say "FAILED: nothing may be skipped here"; exit 1; fi
say "== passed: ${tiers[*]}"
