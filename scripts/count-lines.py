#!/usr/bin/env python3
"""Counts the lines of Rust code of each crate's programs and library: without tests, comments and blank lines.

Without a revision it counts the working tree. With one revision it counts that one; with two it shows how the lines changed.
"""

import argparse
import subprocess
import tempfile
from collections import Counter

from rust_source import all_modules, programs_and_libraries, workspace


def lines_in(directory):
    """The number of lines by crate."""
    lines = Counter()
    for package in workspace(directory)["packages"]:
        files = {}
        for _, root in programs_and_libraries(package):
            for module in all_modules(root):
                files.setdefault(module.file, set()).update(module.code_lines)
        lines[package["name"]] = sum(map(len, files.values()))
    return lines


def lines_of(revision):
    with tempfile.TemporaryDirectory() as directory:
        archive = subprocess.run(["git", "archive", revision], check=True, stdout=subprocess.PIPE).stdout
        subprocess.run(["tar", "--extract", "--directory", directory], check=True, input=archive)
        return lines_in(directory)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", nargs="*", help="a revision of git; at most two")
    revisions = parser.parse_args().revision
    if len(revisions) > 2:
        parser.error("at most two revisions can be compared")
    counts = [lines_of(revision) for revision in revisions] or [lines_in(".")]
    names = sorted(set().union(*counts))
    rows = [(name, *(count[name] for count in counts)) for name in names]
    rows.append(("all", *(sum(count.values()) for count in counts)))
    titles = ["crate", *(revisions or ["lines"])]
    if len(counts) == 2:
        titles.append("change")
        rows = [(name, before, after, f"{after - before:+}") for name, before, after in rows]
    for row in [titles, *rows]:
        print(f"{row[0]:<20}", *(f"{cell:>12}" for cell in row[1:]))


main()
