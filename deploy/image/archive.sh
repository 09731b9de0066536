#!/usr/bin/env bash
# archive.sh OUT.tar NAME:TAG ENTRYPOINT FILE=DEST... : makes an image of one layer, in the format of `docker save`, with each
# FILE at DEST and nothing else. The same files give the same bytes. `ctr images import`, `docker load` and `skopeo` read it.
set -euo pipefail
[ $# -ge 4 ] || { sed -n '2,3p' "$0" | sed 's/^# //' >&2; exit 2; }
out=$(realpath -m "$1") name=$2 entrypoint=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

plain_tar() { # OUT DIRECTORY
  tar --create --file "$1" --directory "$2" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --format=ustar .
}
digest() { sha256sum "$1" | cut -d' ' -f1; }

mkdir -p "$work/root" "$work/image"
for pair in "$@"; do
  install -D -m 0755 "${pair%%=*}" "$work/root/${pair#*=}"
done
plain_tar "$work/image/layer.tar" "$work/root"
layer=$(digest "$work/image/layer.tar")
printf '{"architecture":"amd64","os":"linux","config":{"Entrypoint":["%s"],"Env":["PATH=/bin"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
  "$entrypoint" "$layer" >"$work/image/configuration.json"
configuration=$(digest "$work/image/configuration.json")
mv "$work/image/configuration.json" "$work/image/$configuration.json"
printf '[{"Config":"%s.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$configuration" "$name" >"$work/image/manifest.json"
plain_tar "$out" "$work/image"
