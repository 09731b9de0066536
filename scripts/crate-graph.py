#!/usr/bin/env python3
"""Prints which crates of the workspace depend on which, and inside each crate which modules use items of which.

Fails, and names them, where crates, folders or files depend on each other in a circle, and where a crate depends on a crate that
does not stand in a lower layer of `[workspace.metadata.carrick] layers` in Cargo.toml.

A file depends on another file when its code names an item that the other file defines, in a `use` declaration or by a path.
A re-export (`pub use`) moves no dependency: a file that uses the name depends on the file that defines the item, and the file that
re-exports it depends on it only when its own code uses the name. Code under `cfg(test)` does not count.

Levels: `crates` looks at crates alone; `siblings` also at the children of each module, each child as one with all that is below it;
`files` also at the own file of each module that has children. Every circle of files shows there: in the module below which they part.

The script reads the text of the sources: it does not see methods, nor names that macros make.
"""

import argparse
import sys
from collections import defaultdict

from rust_source import Module, all_modules, programs_and_libraries, workspace

OWN_FILE = "(own file)"


def look_up(module, name, seen):
    """The module or (module, item) that a name stands for inside a module; None if it is not of this crate."""
    if (id(module), name) in seen:
        return None
    seen = seen | {(id(module), name)}
    if name in module.defined:
        return (module, name)
    if name in module.children:
        return module.children[name]
    if name in module.imports:
        return resolve(module, module.imports[name], seen)
    for path in module.globs:
        target = resolve(module, path, seen)
        if isinstance(target, Module) and (found := look_up(target, name, seen)):
            return found
    return None


def resolve(module, path, seen=frozenset()):
    first, rest = path[0], path[1:]
    if first == "crate":
        here = module
        while here.parent:
            here = here.parent
    elif first == "self":
        here = module
    elif first == "super":
        here = module.parent
        while rest[:1] == ["super"]:
            here, rest = here.parent, rest[1:]
    else:
        here = look_up(module, first, seen)
    for name in rest:
        if not isinstance(here, Module):
            return here
        here = look_up(here, name, seen) or (here, name)
    return here


def file_edges(root):
    """For each pair of files of which the first depends on the second, the items by which it does."""
    edges = defaultdict(set)
    for module in all_modules(root):
        for path in module.needed:
            found = resolve(module, path)
            if isinstance(found, tuple) and found[0].file != module.file:
                edges[module.file, found[0].file].add(found[1])
    return edges


def circles(edges):
    """The strongly connected sets of more than one node (Tarjan)."""
    successors = defaultdict(list)
    for source, target in sorted(edges):
        successors[source].append(target)
    number, low, stack, found = {}, {}, [], []

    def visit(node):
        number[node] = low[node] = len(number)
        stack.append(node)
        for target in successors[node]:
            if target not in number:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], number[target])
        if low[node] == number[node]:
            at = stack.index(node)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for node in sorted(successors):
        if node not in number:
            visit(node)
    return found


def shortest_circle(nodes, edges):
    """The shortest circle among nodes that are strongly connected."""
    successors = {node: sorted(target for source, target in edges if source == node and target in nodes) for node in nodes}
    best = None
    for start in nodes:
        ways = [[start]]
        reached = set()
        while ways and (best is None or len(ways[0]) < len(best)):
            way = ways.pop(0)
            for target in successors[way[-1]]:
                if target == start:
                    best, ways = way, []
                    break
                if target not in reached:
                    reached.add(target)
                    ways.append([*way, target])
    return best


def explain(kind, edges):
    """One text for each circle: its shortest way round, with the items that make it."""
    for nodes in circles(edges):
        circle = shortest_circle(nodes, edges)
        others = sorted(set(nodes) - set(circle))
        lines = [f"circle of {kind}:"]
        for source, target in zip(circle, [*circle[1:], circle[0]]):
            lines.append(f"  {source} -> {target}: {', '.join(sorted(edges[source, target]))}")
        if others:
            lines.append(f"  in the same circle or another one through it: {', '.join(map(str, others))}")
        yield "\n".join(lines)


def edges_within(module, edges):
    """The edges between a module's own file, which is `OWN_FILE`, and the subtrees of its children."""
    node_of = {module.file: OWN_FILE}
    for child in module.children.values():
        for part in all_modules(child):
            node_of.setdefault(part.file, child.name)
    between = defaultdict(set)
    for (source, target), items in edges.items():
        ends = node_of.get(source), node_of.get(target)
        if None not in ends and ends[0] != ends[1]:
            between[ends] |= items
    return between


def graph_in_lines(edges):
    targets = defaultdict(set)
    for source, target in edges:
        targets[source].add(target)
    return [f"  {source} -> {', '.join(sorted(targets[source]))}" for source in sorted(targets)]


def check_crates(metadata, show):
    """Shows the graph of crates; gives what is wrong with it."""
    members = {package["name"] for package in metadata["packages"]}
    edges = defaultdict(set)
    for package in metadata["packages"]:
        for dependency in package["dependencies"]:
            if dependency["name"] in members - {package["name"]}:
                kind = {None: "dependency", "dev": "dev-dependency", "build": "build-dependency"}[dependency["kind"]]
                edges[package["name"], dependency["name"]].add(kind)
    show("crates", *graph_in_lines(edges))
    yield from explain("crates", edges)
    layers = (metadata["metadata"] or {}).get("carrick", {}).get("layers", [])
    height = {name: index for index, layer in enumerate(layers) for name in layer}
    for name in sorted(members - height.keys()):
        yield f"the crate {name} is in no layer ([workspace.metadata.carrick] layers in Cargo.toml)"
    for name in sorted(height.keys() - members):
        yield f"the layers ([workspace.metadata.carrick] layers in Cargo.toml) name {name}, which is no crate of the workspace"
    for source, target in sorted(edges):
        if height.get(source, len(layers)) <= height.get(target, -1):
            yield f"{source} depends on {target}, which is not in a lower layer"


def check_modules(package, level, show):
    """Shows the graphs of a package's modules; gives what is wrong with them."""
    for name, root in programs_and_libraries(package):
        edges = file_edges(root)
        for module in all_modules(root):
            title = "::".join([name, *module.path()])
            between = edges_within(module, edges)
            if between:
                show(title, *graph_in_lines(between))
            if level == "siblings":
                between = {ends: items for ends, items in between.items() if OWN_FILE not in ends}
            if level != "crates":
                yield from explain(f"modules in {title}", between)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quiet", action="store_true", help="print what is wrong and no graphs")
    parser.add_argument("--level", choices=["crates", "siblings", "files"], default="files", help="how deep to look for circles (files)")
    arguments = parser.parse_args()

    def show(*lines):
        if not arguments.quiet:
            print(*lines, sep="\n")

    metadata = workspace(".")
    wrong = list(check_crates(metadata, show))
    for package in sorted(metadata["packages"], key=lambda package: package["name"]):
        wrong += check_modules(package, arguments.level, show)
    if wrong:
        sys.exit("\n".join(wrong))


main()
