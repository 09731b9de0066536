#!/usr/bin/env bash
# build.sh [--profile release|dev] [--name NAME:TAG] OUT.tar : builds Carrick's image, which contains only static programs, as an
# archive that `ctr images import`, `docker load` and `skopeo` read. Needs the Rust target x86_64-unknown-linux-musl.
#   --profile  cargo's profile (release)
#   --name     name of the image (carrick:VERSION)
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/../..")
say() { printf 'image: %s\n' "$*" >&2; }

profile=release name= out=
while [ $# -gt 0 ]; do
  case $1 in
    --profile) profile=$2; shift 2 ;;
    --name) name=$2; shift 2 ;;
    -*) sed -n '2,5p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2 ;;
    *) out=$1; shift ;;
  esac
done
[ -n "$out" ] || { sed -n '2,5p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
mkdir -p "$(dirname "$out")"
out=$(realpath -m "$out")

built=$("$root/scripts/build-static.sh" --profile "$profile" carrick-agent carrick-cni)
if [ -z "$name" ]; then name=carrick:$("$built/carrick" version | cut -d' ' -f2); fi

stripped=$(mktemp -d)
trap 'rm -rf "$stripped"' EXIT
for program in carrick carrick-cni; do strip -o "$stripped/$program" "$built/$program"; done
"$here/archive.sh" "$out" "$name" /bin/carrick "$stripped/carrick=bin/carrick" "$stripped/carrick-cni=bin/carrick-cni"
say "$name, $(($(stat -c %s "$out") / 1024)) KiB, is in $out"
