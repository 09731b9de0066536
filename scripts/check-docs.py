#!/usr/bin/env python3
"""Checks the Markdown documents: links and their anchors lead somewhere, paths of this repository exist, the architecture page has a row for
each crate, decision record 0001 has a row for each dependency of Cargo.toml, and the operations page has a row for each event that
the programs log at the levels WARN and ERROR. The troubleshooting page names each check of `carrickctl doctor`. The tests and checks that the tables of kinds and of threats name exist. The table of the chart's values is that of the chart. Documents and sources contain no word of `words.py`. Prints what is wrong, and fails then.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import chart_values
from words import wrong_words

ROOT = Path(__file__).resolve().parent.parent
CODE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
QUOTED = re.compile(r"`([^`\n]+)`")
# A path from the root of the repository; words with placeholders or patterns are none.
PATH = re.compile(r"(?:crates|cni-plugin|deploy|docs|scripts|\.ci|\.github)/[\w./-]*")
ARCHITECTURE = ROOT / "docs/architecture.md"
DEPENDENCIES = ROOT / "docs/decisions/0001-workspace-and-dependencies.md"
OPERATIONS = ROOT / "docs/operations.md"
TROUBLESHOOTING = ROOT / "docs/troubleshooting.md"
CHECKS = ROOT / "crates/carrick-doctor/src/check.rs"
KINDS = ROOT / "docs/kinds.md"
SECURITY = ROOT / "docs/security.md"
# A test: its attribute, others, and its name.
TEST = re.compile(r"#\[(?:tokio::)?test[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:async )?fn (\w+)")
# A log event: its level and its name.
LOGGED = re.compile(r'tracing::(error|warn|info|debug|trace)!\(\s*event = "(\w+)"')
# A step of a test: its name, and its function.
STEP = re.compile(r'\("(\w+)", (?:\w+::)?\1\)')
# A check of `carrickctl doctor`: its identifier.
CHECK = re.compile(r'Self::\w+ => "([a-z-]+)"')
# A log line that needs attention, without an event.
WITHOUT_EVENT = re.compile(r'\b(?:error|warn)!\((?!\s*event = ")')
# Crates of which no program runs on the nodes of a cluster.
FOR_TESTS = {"carrick-lab", "carrick-bench", "carrick-test-apiserver", "carrick-kernel-reader"}


def anchors(document):
    """The anchors of a document's headings, as forges make them."""
    headings = re.findall(r"^#+ (.*)$", CODE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def wrong_links(document, text):
    for target in LINK.findall(CODE.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name) if name else document
        if not path.exists():
            yield f"links to {target}, which does not exist"
        elif anchor and anchor not in anchors(path):
            yield f"links to {target}, which has no such heading"


def wrong_paths(text):
    for quoted in QUOTED.findall(text):
        for word in quoted.split():
            if PATH.fullmatch(word) and not (ROOT / word).exists():
                yield f"names {word}, which does not exist"


def wrong_dependencies():
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["dependencies"]
    used = {name for name, source in manifest.items() if not isinstance(source, dict) or "path" not in source}
    rows = [line.split("|")[1] for line in DEPENDENCIES.read_text().splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in QUOTED.findall(row)}
    for name in sorted(used - documented):
        yield f"has no row for the dependency {name}"
    for name in sorted(documented - used):
        yield f"has a row for {name}, which is no dependency in Cargo.toml"


def wrong_crates():
    members = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["members"]
    crates = {tomllib.loads((ROOT / member / "Cargo.toml").read_text())["package"]["name"] for member in members}
    section = ARCHITECTURE.read_text().partition("\n## Crates\n")[2].partition("\n## ")[0]
    documented = {QUOTED.search(line).group(1) for line in section.splitlines() if line.startswith("| `")}
    for name in sorted(crates ^ documented):
        yield f"has no row for the crate {name}" if name in crates else f"has a row for {name}, which is no crate"


def wrong_events():
    levels = {}
    for source in [*ROOT.glob("crates/*/src/**/*.rs"), *ROOT.glob("cni-plugin/src/**/*.rs")]:
        if FOR_TESTS.isdisjoint(source.parts):
            text = source.read_text()
            for level, event in LOGGED.findall(text):
                levels.setdefault(event, set()).add(level)
            if WITHOUT_EVENT.search(text):
                yield f"cannot explain a line that {source.relative_to(ROOT)} logs at WARN or ERROR without an event"
    section = OPERATIONS.read_text().partition("\n## Log events\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in QUOTED.findall(row)}
    for event in sorted(levels):
        if event not in documented and levels[event] & {"warn", "error"}:
            yield f"has no row for the log event {event} in the section Log events"
    for event in sorted(documented - set(levels)):
        yield f"has a row for the log event {event}, which no program logs"


def all_tests():
    """The names of all tests in Rust, and of the steps of the test on a real cluster."""
    sources = [source for folder in ("crates", "cni-plugin") for source in (ROOT / folder).glob("**/*.rs")]
    texts = [source.read_text() for source in sources]
    return {name for text in texts for name in TEST.findall(text) + STEP.findall(text)}


def wrong_threats(tests):
    """Each threat names the tests that show what stops it, in the last column. `…_END` continues the name before."""
    threats = SECURITY.read_text().partition("\n## Threats\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in threats.splitlines() if line.startswith("| ")][1:]
    if not rows:
        yield "has no table of threats"
    for row in rows:
        if re.search(r"\bthe same\b", row[-1]):
            yield f"names the test of another row for: {row[1]}"
        for name in QUOTED.findall(row[-1]):
            if re.fullmatch(r"\w+_\w+", name) and name not in tests:
                yield f"names the test {name}, which does not exist"


def wrong_kinds(tests):
    """Each kind of host or object has tests and, where it says so, checks that exist."""
    checks = set(CHECK.findall(CHECKS.read_text()))
    rows = [line.split("|") for line in KINDS.read_text().splitlines() if re.match(r"\| [A-Z]: ", line)]
    if not rows:
        yield "has no table of kinds"
    for _, kind, _, _, named_tests, named_checks, documentation, _ in rows:
        kind, named = kind.strip(), QUOTED.findall(named_tests)
        if len(named) < 2:
            yield f"names fewer than two tests for the kind {kind}"
        for test in named:
            if test not in tests:
                yield f"names the test {test}, which does not exist"
        for check in QUOTED.findall(named_checks):
            if check not in checks:
                yield f"names the check {check}, which does not exist"
        if not LINK.search(documentation):
            yield f"has no link to the documentation of the kind {kind}"


def wrong_checks():
    """Each check of `carrickctl doctor` can be reached from a symptom."""
    named = set(QUOTED.findall(TROUBLESHOOTING.read_text()))
    for check in CHECK.findall(CHECKS.read_text()):
        if check not in named:
            yield f"names the check {check} at no symptom"


def main():
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    wrong = []
    for name in listed.splitlines():
        document = ROOT / name
        text = document.read_text()
        wrong += [f"{name} {fault}" for fault in (*wrong_links(document, text), *wrong_paths(text))]
    wrong += [f"{DEPENDENCIES.relative_to(ROOT)} {fault}" for fault in wrong_dependencies()]
    wrong += [f"{ARCHITECTURE.relative_to(ROOT)} {fault}" for fault in wrong_crates()]
    wrong += [f"{OPERATIONS.relative_to(ROOT)} {fault}" for fault in wrong_events()]
    wrong += [f"{TROUBLESHOOTING.relative_to(ROOT)} {fault}" for fault in wrong_checks()]
    tests = all_tests()
    wrong += [f"{KINDS.relative_to(ROOT)} {fault}" for fault in wrong_kinds(tests)]
    wrong += [f"{SECURITY.relative_to(ROOT)} {fault}" for fault in wrong_threats(tests)]
    wrong += chart_values.wrong()
    wrong += wrong_words(ROOT)
    if wrong:
        sys.exit("\n".join(wrong))


main()
