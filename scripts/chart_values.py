#!/usr/bin/env python3
"""chart_values.py [--write] : the table of the chart's values in docs/chart.md, made from deploy/chart/values.schema.json. Without --write it
fails if the table is another one. With --defaults FILE, a JSON file with the content of values.yaml, it compares the defaults too.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/chart.md"
SCHEMA = ROOT / "deploy/chart/values.schema.json"
START, END = "<!-- values: begin -->\n", "<!-- values: end -->\n"


def leaves(schema, path=()):
    """The values that the schema describes: their paths, defaults and descriptions."""
    for name, value in schema["properties"].items():
        if "properties" in value and "default" not in value:
            yield from leaves(value, (*path, name))
        elif (*path, name) != ("global",):
            yield (*path, name), value["default"], value["description"]


def table():
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for path, default, description in leaves(json.loads(SCHEMA.read_text())):
        shown = json.dumps(default) if default != "" else "empty"
        rows.append(f"| `{'.'.join(path)}` | {shown if shown == 'empty' else f'`{shown}`'} | {description} |")
    return "\n".join(rows) + "\n"


def wrong():
    """What is wrong with the page, as lines."""
    before, _, rest = PAGE.read_text().partition(START)
    old, _, after = rest.partition(END)
    if old != table():
        yield "docs/chart.md has another table of values than values.schema.json; run: scripts/chart_values.py --write"
    if not before or not after:
        yield f"docs/chart.md lacks the line {START.strip()} or {END.strip()}"


def write():
    before, _, rest = PAGE.read_text().partition(START)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + START + table() + END + after)


def wrong_defaults(values):
    expected = {}
    for path, default, _ in leaves(json.loads(SCHEMA.read_text())):
        *parents, name = path
        place = expected
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = default
    if values != expected:
        yield f"the defaults in values.schema.json are not those of values.yaml: {json.dumps(expected)} is not {json.dumps(values)}"


def main():
    if sys.argv[1:] == ["--write"]:
        write()
        return
    faults = list(wrong())
    if sys.argv[1:2] == ["--defaults"]:
        faults += wrong_defaults(json.loads(Path(sys.argv[2]).read_text()))
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
