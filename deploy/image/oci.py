#!/usr/bin/env python3
"""oci.py OUT.tar NAME:TAG --label KEY=VALUE... --platform ARCH FILE=DEST... [--platform ARCH ...] : makes an image index with one image for each
platform, each of one layer with each FILE at DEST and nothing else. Programs (below bin/) may be executed. The first one is the entry point.

The archive is an OCI image layout, which containerd, skopeo, podman and Docker read; for older Docker it also describes the first platform in
the format of `docker save`. The same files give the same bytes. Prints the digest of the index.
"""

import gzip
import hashlib
import io
import json
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass
class Image:
    """A platform's files, by their paths in the image."""

    architecture: str
    files: dict[str, Path] = field(default_factory=dict)


class Layout:
    """The blobs of an image layout."""

    def __init__(self):
        self.blobs = {}

    def add(self, media_type, content):
        digest = hashlib.sha256(content).hexdigest()
        self.blobs[digest] = content
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def add_json(self, media_type, value):
        return self.add(media_type, json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def entry(name, mode, size=0, kind=tarfile.REGTYPE):
    """An entry of an archive, without a time and an owner."""
    info = tarfile.TarInfo(name)
    info.mode, info.size, info.type = mode, size, kind
    return info


def layer(files):
    """The uncompressed archive of a layer."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        parents = {str(parent) for dest in files for parent in Path(dest).parents if parent != Path(".")}
        for parent in sorted(parents):
            archive.addfile(entry(parent, 0o755, kind=tarfile.DIRTYPE))
        for dest, source in sorted(files.items()):
            content = source.read_bytes()
            archive.addfile(entry(dest, 0o755 if dest.startswith("bin/") else 0o644, len(content)), io.BytesIO(content))
    return buffer.getvalue()


def add_image(layout, image, labels):
    """Adds an image and returns the descriptors of its manifest, its configuration and its layer."""
    content = layer(image.files)
    compressed = layout.add(LAYER, gzip.compress(content, 9, mtime=0))
    programs = [dest for dest in image.files if dest.startswith("bin/")]
    configuration = layout.add_json(
        CONFIG,
        {
            "architecture": image.architecture,
            "os": "linux",
            "config": {"Entrypoint": [f"/{programs[0]}"], "Env": ["PATH=/bin"], "Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}"]},
        },
    )
    manifest = layout.add_json(
        MANIFEST,
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": configuration, "layers": [compressed], "annotations": labels},
    )
    platform = {"architecture": image.architecture, "os": "linux"}
    return {**manifest, "platform": platform}, configuration, compressed


def blob_path(descriptor):
    return "blobs/" + descriptor["digest"].replace(":", "/")


def build(name, labels, images):
    """The files of the archive, by their paths, and the digest of the index."""
    layout = Layout()
    added = [add_image(layout, image, labels) for image in images]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest for manifest, _, _ in added], "annotations": labels}
    descriptor = layout.add_json(INDEX, index)
    # containerd takes the name of the image from the first annotation, other programs from the second one.
    full = name if "/" in name else f"docker.io/library/{name}"
    named = {**descriptor, "annotations": {"io.containerd.image.name": full, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}}
    _, configuration, compressed = added[0]
    docker = [{"Config": blob_path(configuration), "RepoTags": [name], "Layers": [blob_path(compressed)]}]
    files = {
        "oci-layout": json.dumps({"imageLayoutVersion": "1.0.0"}).encode(),
        "index.json": json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [named]}).encode(),
        "manifest.json": json.dumps(docker).encode(),
    }
    files |= {f"blobs/sha256/{digest}": content for digest, content in layout.blobs.items()}
    return files, descriptor["digest"]


def parse(arguments):
    out, name, *rest = arguments
    labels, images = {}, []
    while rest:
        word = rest.pop(0)
        if word == "--label":
            key, _, value = rest.pop(0).partition("=")
            labels[key] = value
        elif word == "--platform":
            images.append(Image(rest.pop(0)))
        else:
            source, _, dest = word.partition("=")
            images[-1].files[dest] = Path(source)
    return Path(out), name, labels, images


def main():
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    out, name, labels, images = parse(sys.argv[1:])
    files, digest = build(name, labels, images)
    with tarfile.open(out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in sorted(files.items()):
            archive.addfile(entry(path, 0o644, len(content)), io.BytesIO(content))
    print(digest)


main()
