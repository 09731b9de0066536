#!/usr/bin/env bash
# demo.sh [OPTION...] : a cluster over two clouds and a home, on this machine, and who reaches whom in it.
#   --granularity location|cross|full   what is meshed
#   --encapsulation always|cross-subnet|never
#   --apiserver   a real etcd and kube-apiserver instead of the lab's own small API server
#   --kubernetes  a real cluster: kubelet, containerd and kube-proxy on every node, Carrick as a DaemonSet from its image,
#                 Services and CoreDNS; built with Go the first time, which takes about 15 minutes on 2 cores
#   --prove       also capture in the internet and stop WireGuard: nothing passes without it
#   --keep        leave it running; says how to look around and how to take it down
#   --json        one JSON object on standard output and nothing else
#   --topology FILE   other clouds
# Exit code 0 if every pair of pods and nodes reaches each other. Needs root: it makes namespaces of processes, mounts and networks,
# and changes nothing outside them.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/requirements.sh

show_help 14 "$@"
require_root
require_cargo
require cc ip nft tcpdump
case " $* " in
  *" --kubernetes "*)
    require runc busybox strip openssl
    tests/kubernetes/build.sh cluster >/dev/null ;;
esac
say "building Carrick; minutes the first time, with its dependencies ..."
began=$SECONDS
cargo build --quiet -p carrick-agent -p carrick-cni -p carrick-lab >&2
say "built after $((SECONDS - began)) s"
target=$(target_directory)
exec "$target/debug/carrick-lab" demo "$@"
