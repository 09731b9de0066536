#!/bin/bash
# build.sh [apiserver|cluster]: puts Kubernetes' programs, in the versions that the go.mod files beside this one pin, into a
# cache and prints the directory that holds them (laid out as KUBEBUILDER_ASSETS expects) as its only output.
#   apiserver  (default) etcd, kube-apiserver, kubectl
#   cluster    also kube-controller-manager, kube-scheduler, kubelet, kube-proxy, containerd with its shim and ctr, CoreDNS
# Minutes the first time, nothing afterwards. Needs Go and about 3 GB of disk for Go's own caches.
# Exit code 3: Go or its modules cannot be had here; 1: anything else went wrong.
#   KUBEBUILDER_ASSETS  a directory with these programs: used as it is, nothing is built
#   XDG_CACHE_HOME      the cache is carrick/kubernetes/VERSION below it (default ~/.cache)
set -euo pipefail
here=$(dirname "$(realpath "$0")")
say() { echo "kubernetes: $*" >&2; }

readonly APISERVER=(etcd kube-apiserver kubectl)
readonly CLUSTER=(kube-controller-manager kube-scheduler kubelet kube-proxy containerd containerd-shim-runc-v2 ctr coredns)
set=${1:-apiserver}
case $set in
  apiserver) programs=("${APISERVER[@]}") ;;
  cluster) programs=("${APISERVER[@]}" "${CLUSTER[@]}") ;;
  *) sed -n '2,9p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2 ;;
esac

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
  for program in "${programs[@]}"; do
    [ -x "$KUBEBUILDER_ASSETS/$program" ] || { say "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS has no $program"; exit 1; }
  done
  echo "$KUBEBUILDER_ASSETS"
  exit
fi

pinned() { awk -v module="$2" '{ for (i = 1; i < NF; i++) if ($i == module && $(i+1) ~ /^v[0-9]/) { print $(i+1); exit } }' "$here/$1/go.mod"; }
kubernetes=$(pinned kubernetes k8s.io/kubernetes)
etcd=$(pinned etcd go.etcd.io/etcd/server/v3)
containerd=$(pinned containerd github.com/containerd/containerd/v2)
coredns=$(pinned coredns github.com/coredns/coredns)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/carrick/kubernetes/${kubernetes#v}

# The programs that Kubernetes does not version with itself are links to files that name their version.
versioned() { # PROGRAM
  case $1 in
    etcd) echo "etcd-$etcd" ;;
    containerd | containerd-shim-runc-v2 | ctr) echo "$1-$containerd" ;;
    coredns) echo "coredns-$coredns" ;;
    *) echo "$1" ;;
  esac
}
present() { # PROGRAM...
  local program name
  for program in "$@"; do
    name=$(versioned "$program")
    [ -x "$cache/$name" ] || return 1
    [ "$name" = "$program" ] || [ "$(readlink "$cache/$program")" = "$name" ] || return 1
  done
}

if present "${programs[@]}"; then echo "$cache"; exit; fi
wanted=$(awk '$1 == "go" { print $2; exit }' "$here/kubernetes/go.mod")
if ! command -v go >/dev/null; then
  say "no Go here to build etcd $etcd and Kubernetes $kubernetes with."
  say "Install Go $wanted or newer (https://go.dev/doc/install; Go 1.21 or newer fetches the rest itself),"
  say "or set KUBEBUILDER_ASSETS to a directory that has: ${programs[*]}."
  exit 3
fi
if ! said=$(cd "$here/kubernetes" && go mod download "k8s.io/kubernetes@$kubernetes" 2>&1); then
  say "Go cannot download the module k8s.io/kubernetes $kubernetes through $(go env GOPROXY): ${said##*: }"
  say "Set GOPROXY to a module proxy that has it, or KUBEBUILDER_ASSETS to a directory that has: ${programs[*]}."
  exit 3
fi
mkdir -p "$cache"

build() { # MODULE PACKAGE PROGRAM [go build flags]: skipped when it is there
  local name output began=$SECONDS
  name=$(versioned "$3")
  output=$cache/$name
  if [ ! -x "$output" ]; then
    say "building $3 ..."
    (cd "$here/$1" && CGO_ENABLED=0 GOFLAGS="-mod=readonly ${GOFLAGS:-}" go build -trimpath "${@:4}" -o "$output.part" "$2")
    mv "$output.part" "$output"
    say "$3 took $((SECONDS - began)) s"
  fi
  [ "$name" = "$3" ] || ln -sf "$name" "$cache/$3"
}

kubernetes_program() { # PROGRAM
  local version=k8s.io/component-base/version major=${kubernetes#v} minor=${kubernetes#v*.}
  build kubernetes "k8s.io/kubernetes/cmd/$1" "$1" -ldflags \
    "-s -w -X $version.gitVersion=$kubernetes -X $version.gitMajor=${major%%.*} -X $version.gitMinor=${minor%%.*}"
}

build_program() { # PROGRAM
  case $1 in
    etcd) build etcd go.etcd.io/etcd/server/v3 etcd -ldflags "-s -w" ;;
    containerd | containerd-shim-runc-v2 | ctr)
      build containerd "github.com/containerd/containerd/v2/cmd/$1" "$1" -tags no_btrfs,no_devmapper,no_zfs -ldflags "-s -w" ;;
    coredns) build coredns github.com/coredns/coredns coredns -ldflags "-s -w" ;;
    *) kubernetes_program "$1" ;;
  esac
}

# Sets have locks of their own, so that who needs only the API server does not wait for the whole cluster.
provide() { # SET MINUTES-ON-ONE-CORE PROGRAM...
  local set=$1 minutes=$2
  shift 2
  if present "$@"; then return; fi
  exec 9>"$cache/.lock-$set"
  flock -n 9 || { say "another build is running, waiting for it"; flock 9; }
  if present "$@"; then return; fi
  say "building $* into $cache:"
  say "once, about $((minutes / $(nproc) + 1)) minutes on this machine's $(nproc) cores, plus the download"
  for program in "$@"; do build_program "$program"; done
  exec 9>&-
}

provide apiserver 10 "${APISERVER[@]}"
if [ "$set" = cluster ]; then provide cluster 20 "${CLUSTER[@]}"; fi
echo "$cache"
