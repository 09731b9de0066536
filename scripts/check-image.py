#!/usr/bin/env python3
"""check-image.py [ARCHIVE.tar] : checks an archive of deploy/image/oci.py, by default one that it makes of small files, twice: both have the same
bytes. Each digest and size is that of its blob; each platform has an entry point, labels and a layer with the files; nothing names a time.
"""

import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Fault(Exception):
    """What is wrong with the archive."""


def require(condition, text):
    if not condition:
        raise Fault(text)


def make(directory, out, seconds):
    """Makes an archive of files that were written at another time."""
    files = []
    for name, content in [("carrick", "program"), ("carrick-cni", "plugin"), ("LICENSE", "text")]:
        path = directory / name
        path.write_text(content)
        path.touch()
        subprocess.run(["touch", "--date", f"@{seconds}", path], check=True)
        files.append(f"{path}={'usr/share/doc/carrick/' if name == 'LICENSE' else 'bin/'}{name}")
    command = [ROOT / "deploy/image/oci.py", out, "carrick:0.1.0", "--label", "org.opencontainers.image.version=0.1.0"]
    command += ["--label", "org.opencontainers.image.revision=abc", "--platform", "amd64", *files, "--platform", "arm64", *files]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def blob(archive, descriptor):
    content = archive.extractfile("blobs/" + descriptor["digest"].replace(":", "/")).read()
    require("sha256:" + hashlib.sha256(content).hexdigest() == descriptor["digest"], f"{descriptor['digest']} is not the digest of its blob")
    require(len(content) == descriptor["size"], f"{descriptor['digest']} has another size")
    return content


def check_platform(archive, descriptor):
    manifest = json.loads(blob(archive, descriptor))
    configuration = json.loads(blob(archive, manifest["config"]))
    require(configuration["architecture"] == descriptor["platform"]["architecture"], "the platform is not that of the configuration")
    require("created" not in configuration, "the configuration names a time")
    labels = configuration["config"]["Labels"]
    for label in ("version", "revision"):
        require(labels.get(f"org.opencontainers.image.{label}"), f"there is no label {label}")
    (layer,) = manifest["layers"]
    compressed = blob(archive, layer)
    # RFC 1952, section 2.3: MTIME.
    require(compressed[4:8] == bytes(4), "the compressed layer has a time")
    content = gzip.decompress(compressed)
    require(configuration["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(content).hexdigest()], "the layer is another one than the configuration says")
    with tarfile.open(fileobj=io.BytesIO(content)) as files:
        modes = {entry.name: entry.mode for entry in files if entry.isfile()}
        require(all(entry.mtime == entry.uid == entry.gid == 0 for entry in files), "a file has a time or an owner")
    entry_point = configuration["config"]["Entrypoint"][0].lstrip("/")
    require(modes.get(entry_point) == 0o755, f"{entry_point} is no program in the layer")
    require("bin/carrick-cni" in modes and "usr/share/doc/carrick/LICENSE" in modes, f"a file is missing: {sorted(modes)}")


def check(path):
    """Checks an archive, and returns the digest of its index."""
    with tarfile.open(path) as archive:
        (named,) = json.load(archive.extractfile("index.json"))["manifests"]
        index = json.loads(blob(archive, named))
        require(index["manifests"], "the index has no platform")
        for descriptor in index["manifests"]:
            check_platform(archive, descriptor)
        (docker,) = json.load(archive.extractfile("manifest.json"))
        names = set(archive.getnames())
        require({docker["Config"], *docker["Layers"]} <= names, "manifest.json names blobs that are not there")
        return named["digest"]


def main():
    if len(sys.argv) > 1:
        print(check(Path(sys.argv[1])))
        return
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        first, second = directory / "first.tar", directory / "second.tar"
        digests = [make(directory, first, 0), make(directory, second, 86400)]
        require(digests[0] == digests[1] and first.read_bytes() == second.read_bytes(), "the same files give different archives")
        require(check(first) == digests[0], "oci.py prints another digest than that of its index")


try:
    main()
except Fault as fault:
    sys.exit(f"image: {fault}")
