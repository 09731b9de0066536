"""Reads Rust sources as text: their tokens, what is not under `cfg(test)`, and the modules of a target. Used by other scripts here."""

import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
      | (?P<comment>/\*)
      | (?P<raw>b?c?r(?P<hashes>\#*)".*?"(?P=hashes))
      | (?P<string>[bc]?"(?:\\.|[^"\\])*")
      | (?P<character>b?'(?:\\[^u]|\\u\{[^}]*\}|\\x..|[^'\\])')
      | (?P<lifetime>'[A-Za-z_]\w*)
      | (?P<word>(?:r\#)?[A-Za-z_]\w*)
      | (?P<number>\d[\w.]*?(?=\.\.|[^\w.]|\.[A-Za-z_]|$))
      | (?P<mark>::|->|=>|\.\.=?|.)""",
    re.VERBOSE | re.DOTALL,
)
ITEMS = {"fn", "struct", "enum", "union", "trait", "type", "const", "static", "mod", "use", "impl", "macro_rules", "extern"}
OPENING, CLOSING = {"(", "[", "{"}, {")", "]", "}"}
WORD = re.compile(r"[A-Za-z_]\w*$")


class Token(str):
    """The text of a token, and the numbers of the lines on which it stands."""

    def __new__(cls, text, line):
        token = super().__new__(cls, text)
        token.lines = range(line, line + text.count("\n") + 1)
        return token


def tokens_of(text):
    """The tokens of a Rust source, without white space and comments."""
    tokens, at, line = [], 0, 1
    while at < len(text):
        match = TOKEN.match(text, at)
        begin, at = at, match.end()
        if match.lastgroup == "comment" or match.group("comment"):
            depth = 1
            while depth:
                mark = re.compile(r"/\*|\*/").search(text, at)
                depth, at = depth + (1 if mark.group() == "/*" else -1), mark.end()
        elif not match.group("space"):
            tokens.append(Token(match.group().removeprefix("r#") if match.group("word") else match.group(), line))
        line += text.count("\n", begin, at)
    return tokens


def closing(tokens, at):
    """The index of the bracket that closes the one at `at`."""
    depth = 0
    for index in range(at, len(tokens)):
        depth += (tokens[index] in OPENING) - (tokens[index] in CLOSING)
        if depth == 0:
            return index
    raise ValueError("a bracket is not closed")


def end_of_item(tokens, at):
    """The index behind the item, field, variant or statement that begins at `at`."""
    ends_with_semicolon = False
    is_item = item_word(tokens, at) is not None
    while at < len(tokens):
        token = tokens[at]
        if token == ";" or (token == "," and not is_item):
            return at + 1
        if token in CLOSING:
            return at
        ends_with_semicolon |= token in ("=", "use", "let")
        if token in OPENING:
            at = closing(tokens, at)
            if token == "{" and not ends_with_semicolon:
                return at + 1
        at += 1
    return at


def item_word(tokens, at):
    """The index of the keyword that says what kind of item begins at `at`; None where no item begins."""
    if tokens[at] == "pub":
        at = closing(tokens, at + 1) + 1 if tokens[at + 1] == "(" else at + 1
    while at < len(tokens):
        token, after = tokens[at], tokens[at + 1 : at + 2]
        if token in ("unsafe", "async", "default", "auto") or token.startswith('"'):
            pass
        elif token == "const" and after and after[0] in ("fn", "unsafe", "async", "extern"):
            pass
        elif token == "extern" and after and (after[0] == "fn" or after[0].startswith('"')):
            pass
        else:
            return at if token in ITEMS else None
        at += 1
    return None


def without_tests(tokens):
    """The tokens without what stands under `cfg(test)` or is a test."""
    kept, at = [], 0
    while at < len(tokens):
        if tokens[at] == "#" and tokens[at + 1 : at + 2] == ["["]:
            end = closing(tokens, at + 1)
            attribute = tokens[at + 2 : end]
            if attribute[:1] == ["test"] or (attribute[:2] == ["cfg", "("] and "test" in attribute and "not" not in attribute):
                at = end + 1
                while tokens[at : at + 2] == ["#", "["]:
                    at = closing(tokens, at + 1) + 1
                at = end_of_item(tokens, at)
                continue
        kept.append(tokens[at])
        at += 1
    return kept


@dataclass
class Module:
    name: str
    file: Path
    parent: "Module | None"
    children: dict = field(default_factory=dict)
    defined: set = field(default_factory=set)
    imports: dict = field(default_factory=dict)  # name -> path
    globs: list = field(default_factory=list)  # paths
    needed: list = field(default_factory=list)  # paths that the code depends on
    code_lines: set = field(default_factory=set)  # numbers of the lines of the file with code that is no test

    def path(self):
        return [] if self.parent is None else [*self.parent.path(), self.name]


def use_tree(tokens, at, prefix):
    """The (path, name) pairs of a `use` tree that begins at `at`, and the index behind it; the name of a glob is `*`."""
    path = list(prefix)
    while True:
        token = tokens[at]
        if token == "{":
            leaves, at = [], at + 1
            while tokens[at] != "}":
                more, at = use_tree(tokens, at, path)
                leaves += more
                at += tokens[at] == ","
            return leaves, at + 1
        if token == "*":
            return [(path, "*")], at + 1
        if token != "::":
            path.append(token)
        at += 1
        if tokens[at] == "as":
            return [(path, tokens[at + 1])], at + 2
        if tokens[at] in (",", "}", ";"):
            path = path[:-1] if path[-1] == "self" and len(path) > 1 else path
            return [(path, path[-1])], at


def paths_in(tokens):
    """The paths that a body names, and those that its `use` declarations import."""
    at = 0
    while at < len(tokens):
        token, before = tokens[at], tokens[at - 1] if at else ""
        if token == "use" and tokens[at + 1] != "<":
            leaves, at = use_tree(tokens, at + 1, [])
            yield from (path for path, _ in leaves)
        elif WORD.match(token) and before not in (".", "'"):
            path = [token]
            while tokens[at + 1 : at + 2] == ["::"] and WORD.match(tokens[at + 2]):
                path.append(tokens[at + 2])
                at += 2
            if len(path) > 1 or tokens[at + 1 : at + 2] != [":"]:
                yield path
            at += 1
        else:
            at += 1


def read_module(module, tokens, directory):
    """Fills the module with what its tokens hold; `directory` is where files of its children are."""
    at = 0
    while at < len(tokens):
        location = None
        while tokens[at : at + 1] == ["#"]:
            begin = at + 1 + (tokens[at + 1] == "!")
            end = closing(tokens, begin)
            if tokens[begin + 1] == "path":
                location = tokens[end - 1].strip('"')
            at = end + 1
        if at >= len(tokens):
            break
        end, word = end_of_item(tokens, at), item_word(tokens, at)
        kind, name = (tokens[word], tokens[word + 1]) if word is not None else (None, None)
        if kind == "mod" and tokens[word + 2] == "{":
            child = module.children.setdefault(name, Module(name, module.file, module))
            read_module(child, tokens[word + 3 : end - 1], directory / name)
        elif kind == "mod":
            read_file(module, name, location, directory)
        elif kind == "use":
            for path, alias in use_tree(tokens, word + 1, [])[0]:
                if alias == "*":
                    module.globs.append(path)
                else:
                    module.imports[alias] = path
                    if tokens[at] != "pub":
                        module.needed.append(path)
        else:
            if kind == "macro_rules":
                module.defined.add(tokens[word + 2])
            elif kind not in (None, "impl", "extern"):
                module.defined.add(tokens[word + 2] if name == "mut" else name)
            module.needed += paths_in(tokens[at:end])
        at = end


def read_file(parent, name, location, directory):
    candidates = [directory / location] if location else [directory / f"{name}.rs", directory / name / "mod.rs"]
    file = next((candidate for candidate in candidates if candidate.exists()), None)
    if file is None:
        raise FileNotFoundError(f"{parent.file}: the file of the module {name}")
    child = parent.children.setdefault(name, Module(name, file, parent))
    below = file.parent if file.name == "mod.rs" or location else directory / name
    read_text(child, below)


def read_text(module, directory):
    tokens = without_tests(tokens_of(module.file.read_text()))
    module.code_lines = {line for token in tokens for line in token.lines}
    read_module(module, tokens, directory)


def read_target(source):
    """The root module of a target, with its descendants."""
    root = Module("", source, None)
    read_text(root, source.parent)
    return root


def all_modules(module):
    """A module and its descendants."""
    yield module
    for child in module.children.values():
        yield from all_modules(child)


def workspace(directory):
    """What cargo knows of the workspace in a directory."""
    command = ["cargo", "metadata", "--format-version", "1", "--no-deps", "--offline"]
    return json.loads(subprocess.run(command, cwd=directory, check=True, stdout=subprocess.PIPE, text=True).stdout)


def programs_and_libraries(package):
    """The root modules of a package's programs and of its library, by the targets' names."""
    for target in package["targets"]:
        if {"lib", "bin", "proc-macro"} & set(target["kind"]):
            yield target["name"], read_target(Path(target["src_path"]))
