#!/usr/bin/env python3
"""sbom.py TARGET CRATE... --sbom FILE --licences FILE : writes what is in the programs of these crates of the workspace, built for a Rust target: a
bill of materials (CycloneDX 1.6), and the licences with their texts. The same Cargo.lock gives the same bytes.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE")
# Some packages have no text of their licence. Carrick's own file has this one.
SAME_TEXT = {"Apache-2.0": ROOT / "LICENSE"}
LINKS = {"MPL-2.0": "Mozilla Public License 2.0: https://mozilla.org/MPL/2.0/"}


def linked(target, names):
    """The packages that are linked into the programs: no build dependencies and no procedural macros."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    is_macro = lambda package: any("proc-macro" in one["kind"] for one in package["targets"])  # noqa: E731
    found, todo = {}, [package["id"] for package in packages.values() if package["name"] in names]
    while todo:
        package_id = todo.pop()
        if package_id in found or is_macro(packages[package_id]):
            continue
        normal = [
            dependency["pkg"]
            for dependency in nodes[package_id]["deps"]
            if any(kind["kind"] is None for kind in dependency["dep_kinds"])
        ]
        found[package_id] = packages[package_id], normal
        todo += normal
    return found


def reference(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package):
    kind = "library" if package["source"] else "application"
    entry = {"type": kind, "bom-ref": reference(package), "name": package["name"], "version": package["version"]}
    if package["source"]:
        entry["purl"] = reference(package)
    if package["license"]:
        entry["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    return entry


def bill(target, names, found):
    by_name = sorted(found.values(), key=lambda one: (one[0]["name"], one[0]["version"]))
    own = next(package for package, _ in by_name if package["name"] == names[0])
    reached = {package_id: reference(package) for package_id, (package, _) in found.items()}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "container", "bom-ref": "carrick", "name": "carrick", "version": own["version"]},
            "properties": [{"name": "rust:target", "value": target}],
        },
        "components": [component(package) for package, _ in by_name],
        "dependencies": [
            {"ref": reference(package), "dependsOn": sorted({reached[one] for one in normal if one in reached})}
            for package, normal in by_name
        ],
    }


def texts(package):
    directory = Path(package["manifest_path"]).parent
    files = sorted(path for path in directory.iterdir() if path.is_file() and path.name.upper().startswith(NAMES))
    return [(path.name, path.read_text(errors="replace").strip()) for path in files]


def licences(found):
    """The text of each licence once, with the packages that it is for."""
    holders = {}
    for package, _ in found.values():
        if not package["source"]:
            continue
        own = texts(package) or [
            ("LICENSE", path.read_text().strip()) for name, path in SAME_TEXT.items() if name in (package["license"] or "")
        ]
        if not own:
            own = [("none", f"{LINKS.get(package['license'], package['license'])}\nThe source of the package: {package['repository']}")]
        for name, text in own:
            holders.setdefault(text, []).append(f"{package['name']} {package['version']} ({package['license']}), {name}")
    parts = [("\n".join(sorted(set(names))), text) for text, names in holders.items()]
    return ("\n\n" + "-" * 80 + "\n\n").join(f"{names}\n\n{text}" for names, text in sorted(parts)) + "\n"


def main():
    arguments = sys.argv[1:]
    if len(arguments) < 6:
        sys.exit(__doc__)
    at = arguments.index("--sbom")
    target, *names = arguments[:at]
    found = linked(target, names)
    Path(arguments[at + 1]).write_text(json.dumps(bill(target, names, found), indent=1) + "\n")
    Path(arguments[arguments.index("--licences") + 1]).write_text(licences(found))


main()
