#!/usr/bin/env bash
# demo.sh [OPTION...] : runs a cluster over two clouds and a home on this machine, and shows which nodes and pods reach each other.
#   --granularity location|cross|full   the nodes that have tunnels
#   --encapsulation always|cross-subnet|never
#   --apiserver   a real etcd and kube-apiserver instead of the small API server
#   --kubernetes  a real cluster: kubelet, containerd and kube-proxy on every node, Carrick as a DaemonSet from its image,
#                 Services and CoreDNS; built with Go the first time, which takes about 15 minutes on 2 cores
#   --prove       also capture packets in the internet, and stop WireGuard: nothing passes without it
#   --keep        leave the demo running, and print the commands that show it and take it down
#   --json        one JSON object on standard output and nothing else
#   --topology FILE   another topology
# Exits with status 0 if all nodes and pods reach all pods. Needs root: it makes PID, mount and network namespaces, and changes
# nothing outside them.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/requirements.sh

show_help 13 "$@"
require_root
require_cargo
require cc nft tcpdump
case " $* " in
  *" --keep "*) require ip wg ;;  # the commands that it prints
esac
case " $* " in
  *" --kubernetes "*)
    require runc busybox strip openssl
    tests/kubernetes/build.sh cluster >/dev/null ;;
esac
say "building Carrick; minutes the first time, with its dependencies ..."
began=$SECONDS
cargo build --quiet -p carrick-agent -p carrick-cni -p carrick-lab -p carrickctl >&2
say "built after $((SECONDS - began)) s"
target=$(target_directory)
exec "$target/debug/carrick-lab" demo "$@"
