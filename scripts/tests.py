#!/usr/bin/env python3
"""tests.py COMMAND : the workspace's tests by tier, as scripts/test.sh and the scripts beside it run them.

  check TIER...         fails if a test target has no tier, or one that is not among the named tiers; if a pure crate does not
                        use the lints for pure crates; or if a property test has settings of its own
  build                 builds all programs, tests and examples of the workspace, with one set of features
  run TIER              builds, runs the tests of a tier, and adds their times to target/test-times.tsv
  program PACKAGE TEST  builds, and prints the path of an integration test's program

Each crate declares the tiers of its test targets in its Cargo.toml; doctests are in `pure`, without a declaration:

  [package.metadata.carrick.tiers]
  lib = "pure"                  # unit tests of the library
  bin.carrick = "pure"          # unit tests of a binary
  test.mesh = "lab"             # an integration test, by its name
  test.bench = [                # groups of one target's tests
    { tier = "lab", threads = 4 },
    { tier = "kernel", only = ["drift::"] },
  ]

A group with `only` has the tests whose names contain one of its words. Exactly one group has no `only`: it has all other
tests, so no test can be in no group. Further keys of a group:

  threads   tests at a time (default: the number of processors)
  alone     true: nothing else of the tier runs meanwhile
  show      true: the output of tests that pass is shown too; implies `alone`

Groups run side by side while their threads fit into the places of the tier, by default as many as there are processors. The workspace's
Cargo.toml declares other numbers, for tests that mostly wait:

  [workspace.metadata.carrick.places]
  lab = 6

A crate that reads no clock and draws no random number has `pure = true` in [package.metadata.carrick], and a link clippy.toml to
clippy.pure.toml.
"""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent
# Benchmarks and examples have `test = false`; what is built as a library comes in several kinds.
KINDS = {"bin": "bin", "test": "test", "bench": "bench", "example": "example"}
# `test NAME ... ok <0.123s>`, or only its end where a test's own output stands between.
RESULT = re.compile(r"^(?:test (?P<name>\S+)(?: - should panic)? \.\.\. )?.*?(?:ok|FAILED) <(?P<seconds>[0-9.]+)s>$")
STARTED = re.compile(r"^test (?P<name>\S+)(?: - should panic)? \.\.\. ")

# A variable in .cargo/config.toml, which has a section [env] and no other. Python reads TOML from 3.11 on only.
VARIABLE = re.compile(r'^([A-Z_]+) = "(.*)"$', re.MULTILINE)


class Fault(Exception):
    """What is told without a stack trace."""


@dataclass(frozen=True)
class Group:
    """Tests of one target that run together."""

    tier: str
    only: tuple[str, ...] = ()
    threads: int = 0
    alone: bool = False
    show: bool = False


@dataclass(frozen=True)
class Target:
    """A target with tests, and the groups that its crate declares for it."""

    package: str
    package_id: str
    directory: Path
    kind: str
    name: str
    declared: object

    def __str__(self) -> str:
        return f"{self.package} {self.kind}" if self.kind == "lib" else f"{self.package} {self.kind} {self.name}"

    def groups(self) -> list[Group]:
        declared = self.declared
        if declared is None:
            key = "lib" if self.kind == "lib" else f"{self.kind}.{self.name}"
            raise Fault(f"{self}: no tier; add `{key} = \"TIER\"` to [package.metadata.carrick.tiers] of {self.directory.relative_to(ROOT)}/Cargo.toml")
        entries = declared if isinstance(declared, list) else [declared]
        groups = [self._group({"tier": entry} if isinstance(entry, str) else entry) for entry in entries]
        if sum(not group.only for group in groups) != 1:
            raise Fault(f"{self}: exactly one group has no `only`, for all tests that are in no other group")
        return groups

    def _group(self, entry: dict) -> Group:
        unknown = set(entry) - set(Group.__dataclass_fields__)
        if unknown or "tier" not in entry:
            raise Fault(f"{self}: a group has a `tier` and the keys that scripts/tests.py names, not: {', '.join(sorted(unknown))}")
        return Group(**{key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()})


def metadata() -> dict:
    command = ["cargo", "metadata", "--format-version", "1", "--no-deps"]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def own_metadata(owner: dict) -> dict:
    """[package.metadata.carrick] of a crate, [workspace.metadata.carrick] of the workspace."""
    return (owner["metadata"] or {}).get("carrick", {})


def targets(workspace: dict) -> list[Target]:
    found = []
    for package in workspace["packages"]:
        directory = Path(package["manifest_path"]).parent
        declared = own_metadata(package).get("tiers", {})
        for target in package["targets"]:
            if not target["test"]:
                continue
            kind, name = KINDS.get(target["kind"][0], "lib"), target["name"]
            entry = declared.get("lib") if kind == "lib" else declared.get(kind, {}).get(name)
            found.append(Target(package["name"], package["id"], directory, kind, name, entry))
    return found


def superfluous(workspace: dict, known: list[Target]) -> list[str]:
    """Declarations without a target: a misspelt or a renamed one."""
    names = {(target.package, target.kind, target.name) for target in known}
    faults = []
    for package in workspace["packages"]:
        declared = own_metadata(package).get("tiers", {})
        for kind, entries in declared.items():
            if kind == "lib":
                missing = [] if any(name[:2] == (package["name"], "lib") for name in names) else ["lib"]
            else:
                missing = [f"{kind}.{name}" for name in entries if (package["name"], kind, name) not in names]
            faults += [f"{package['name']}: {name} has a tier, but there is no such test target" for name in missing]
    return faults


def impure(workspace: dict) -> list[str]:
    """What would let a crate with `pure = true` read a clock or draw a random number: clippy reads a crate's own clippy.toml in place
    of the workspace's."""
    rules = ROOT / "clippy.pure.toml"
    present = set(rules.read_text(encoding="utf-8").splitlines())
    lines = (ROOT / "clippy.toml").read_text(encoding="utf-8").splitlines()
    faults = [f"clippy.pure.toml lacks a line of clippy.toml: {line}" for line in lines if line not in present]
    for package in workspace["packages"]:
        own = Path(package["manifest_path"]).parent / "clippy.toml"
        pure = own_metadata(package).get("pure", False)
        if pure and own.resolve() != rules:
            faults.append(f"{package['name']} is pure: {own.relative_to(ROOT)} must be a link to clippy.pure.toml")
        if not pure and own.exists():
            faults.append(f"{package['name']} has a clippy.toml of its own, so that of the workspace has no effect; or is it pure?")
    return faults


def own_settings_of_property_tests() -> list[str]:
    """Property tests draw new cases, as many as .cargo/config.toml says, and keep those that fail."""
    settings = r"with_cases|ProptestConfig \{|rng_seed|RngSeed|failure_persistence: None|PROPTEST_"
    found = subprocess.run(["git", "grep", "-nE", settings, "--", "*.rs"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    return [f"{line}: .cargo/config.toml and proptest's defaults set this for all" for line in found.stdout.splitlines()]


def check(tiers: list[str]) -> None:
    workspace = metadata()
    known = targets(workspace)
    faults = superfluous(workspace, known) + impure(workspace) + own_settings_of_property_tests()
    for target in known:
        try:
            unknown = {group.tier for group in target.groups()} - set(tiers)
            faults += [f"{target}: unknown tier {tier!r}; there are: {', '.join(tiers)}" for tier in sorted(unknown)]
        except Fault as fault:
            faults.append(str(fault))
    if faults:
        raise Fault("\n".join(faults))
    pure = sum(own_metadata(package).get("pure", False) for package in workspace["packages"])
    print(f"{len(known)} test targets, each with a tier; {pure} pure crates")


def build() -> dict[tuple[str, str, str], Path]:
    """Builds everything and gives each test program by package, kind and name.

    The whole workspace at once: cargo unites the features of what is built together, so a selection of packages would build
    their dependencies again. With the tests, the programs get the features of the tests.
    """
    command = ["cargo", "build", "--workspace", "--lib", "--bins", "--tests", "--examples", "--message-format=json-render-diagnostics"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise Fault("the tests do not build")
    programs = {}
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message["reason"] == "compiler-artifact" and message["profile"]["test"] and message["executable"]:
            target = message["target"]
            kind = KINDS.get(target["kind"][0], "lib")
            programs[message["package_id"], kind, target["name"]] = Path(message["executable"])
    return programs


def selection(group: Group, groups: list[Group]) -> list[str]:
    """The arguments that choose a group's tests among those of its target."""
    if group.only:
        return list(group.only)
    return [argument for other in groups for word in other.only for argument in ("--skip", word)]


def environment(target: Target) -> dict[str, str]:
    """What cargo sets for tests, and the permission to tell how long each test takes: a flag of libtest that is not stable.
    The programs are built without that permission."""
    configured = dict(VARIABLE.findall((ROOT / ".cargo/config.toml").read_text(encoding="utf-8")))
    return {**configured, **os.environ, "CARGO_MANIFEST_DIR": str(target.directory), "RUSTC_BOOTSTRAP": "1"}


def count(target: Target, program: Path, selected: list[str]) -> int:
    command = [str(program), "--list", "--format=terse", *selected]
    listed = subprocess.run(command, cwd=target.directory, env=environment(target), check=True, stdout=subprocess.PIPE, text=True)
    return sum(line.endswith(": test") for line in listed.stdout.splitlines())


@dataclass(frozen=True)
class Job:
    """A group's tests in their program, and how many of the tier's places they take."""

    target: Target
    program: Path
    group: Group
    selected: list[str]
    places: int

    def run(self, times: TextIO, shown: Callable[[str], None]) -> bool:
        """Runs the tests, shows their output as it comes, and notes the times; whether all passed."""
        command = [str(self.program), *self.selected, "-Zunstable-options", "--report-time", "--color=never"]
        command.append(f"--test-threads={self.group.threads or os.cpu_count()}")
        if self.group.show:
            command.append("--nocapture")
        shown(f"\n-- {self.target}\n")
        process = subprocess.Popen(
            command,
            cwd=self.target.directory,
            env=environment(self.target),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
        )
        started = ""
        for line in process.stdout:
            shown(line)
            if begins := STARTED.match(line):
                started = begins["name"]
            if result := RESULT.match(line.rstrip("\n")):
                times.write(f"{result['seconds']}\t{self.group.tier}\t{self.target}\t{result['name'] or started}\n")
        return process.wait() == 0


def jobs(tier: str, workspace: dict, programs: dict[tuple[str, str, str], Path], places: int) -> list[Job]:
    found = []
    for target in targets(workspace):
        groups = target.groups()
        for group in groups:
            if group.tier != tier:
                continue
            program = programs[target.package_id, target.kind, target.name]
            selected = selection(group, groups)
            if count(target, program, selected) > 0:
                taken = places if group.alone or group.show else min(group.threads or os.cpu_count(), places)
                found.append(Job(target, program, group, selected, taken))
            elif group.only:
                raise Fault(f"{target}: no test has one of these in its name: {', '.join(group.only)}")
    if not found:
        raise Fault(f"no test is in tier {tier}")
    return found


def show_now(text: str) -> None:
    print(text, end="", flush=True)


def run(tier: str) -> None:
    """Runs jobs side by side as long as there are places. What a job says while others run is shown in one piece at its end."""
    workspace = metadata()
    places = own_metadata(workspace).get("places", {}).get(tier, os.cpu_count())
    waiting = sorted(jobs(tier, workspace, build(), places), key=lambda job: -job.places)
    failed, free, change = [], places, threading.Condition()

    def work(job: Job, times: TextIO) -> None:
        nonlocal free
        said: list[str] = []
        passed = False
        try:
            passed = job.run(times, show_now if job.places == places else said.append)
        finally:
            with change:
                show_now("".join(said))
                if not passed:
                    failed.append(f"{job.target}; alone: (cd {job.target.directory} && {job.program} TEST)")
                free += job.places
                change.notify()

    with (Path(workspace["target_directory"]) / "test-times.tsv").open("a", encoding="utf-8") as times:
        with ThreadPoolExecutor(max_workers=places) as workers:
            submitted = []
            while waiting:
                with change:
                    change.wait_for(lambda: any(job.places <= free for job in waiting))
                    job = next(job for job in waiting if job.places <= free)
                    waiting.remove(job)
                    free -= job.places
                submitted.append(workers.submit(work, job, times))
        for done in submitted:
            done.result()
    if failed:
        raise Fault("\n".join(["", *failed]))


def program(package: str, test: str) -> None:
    programs = build()
    found = [programs[target.package_id, "test", test] for target in targets(metadata()) if (target.package, target.kind, target.name) == (package, "test", test)]
    if not found:
        raise Fault(f"{package} has no integration test {test}")
    print(found[0])


def main(arguments: list[str]) -> int:
    try:
        match arguments:
            case ["check", *tiers] if tiers:
                check(tiers)
            case ["build"]:
                build()
            case ["run", tier]:
                run(tier)
            case ["program", package, test]:
                program(package, test)
            case _:
                print(__doc__, end="", file=sys.stderr)
                return 2
    except Fault as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
