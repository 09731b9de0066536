#!/usr/bin/env bash
# build.sh [--profile release|dev] [--arch LIST] [--name NAME:TAG] OUT.tar : builds Carrick's image, which contains static programs, their bill of
# materials and their licences, as an archive that `ctr images import`, `docker load`, `podman load` and `skopeo` read. Prints the
# digest of its index, which is the same for the same commit. Needs no daemon.
#   --profile  cargo's profile (release)
#   --arch     the architectures: amd64, arm64, or amd64,arm64 (that of this machine)
#   --name     name of the image (carrick:VERSION)
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/../..")
say() { printf 'image: %s\n' "$*" >&2; }
usage() { sed -n '2,7p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }

profile=release name='' out=''
case $(uname -m) in aarch64) archs=arm64 ;; *) archs=amd64 ;; esac
while [ $# -gt 0 ]; do
  case $1 in
    --profile) profile=$2; shift 2 ;;
    --arch) archs=$2; shift 2 ;;
    --name) name=$2; shift 2 ;;
    -*) usage ;;
    *) out=$1; shift ;;
  esac
done
[ -n "$out" ] || usage
mkdir -p "$(dirname "$out")"
out=$(realpath -m "$out")
strip_for() { if [ "$1" = "$(uname -m)" ]; then echo strip; else echo "$1-linux-gnu-strip"; fi; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$root/Cargo.toml")
revision=$(git -C "$root" describe --always --abbrev=40 --dirty --exclude '*')
[ -n "$name" ] || name=carrick:$version
arguments=()
for label in "title=carrick" "description=Connects the nodes of one Kubernetes cluster across clouds" "version=$version" "revision=$revision" \
  "licenses=Apache-2.0"; do
  arguments+=(--label "org.opencontainers.image.$label")
done
for arch in ${archs//,/ }; do
  built=$("$root/scripts/build-static.sh" --profile "$profile" --arch "$arch" carrick-agent carrick-cni)
  case $arch in amd64) machine=x86_64 ;; *) machine=aarch64 ;; esac
  mkdir -p "$work/$arch"
  # A release is stripped already.
  for program in carrick carrick-cni; do
    if [ "$profile" = release ]; then cp "$built/$program" "$work/$arch/"; else "$(strip_for "$machine")" -o "$work/$arch/$program" "$built/$program"; fi
  done
  "$here/sbom.py" "$machine-unknown-linux-musl" carrick-agent carrick-cni --sbom "$work/$arch/sbom" --licences "$work/$arch/licences"
  arguments+=(--platform "$arch" "$work/$arch/carrick=bin/carrick" "$work/$arch/carrick-cni=bin/carrick-cni"
    "$root/LICENSE=usr/share/doc/carrick/LICENSE" "$work/$arch/licences=usr/share/doc/carrick/licences-of-dependencies.txt"
    "$work/$arch/sbom=usr/share/doc/carrick/sbom.cdx.json")
done
digest=$("$here/oci.py" "$out" "$name" "${arguments[@]}")
say "$name ($archs), $(($(stat -c %s "$out") / 1024)) KiB, is in $out"
printf '%s\n' "$digest"
