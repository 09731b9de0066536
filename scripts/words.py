"""The words of a dialect, which code and documents do not use, and the standard words for them.

The terms are on the architecture page. A name is read as its words: `heldBack` and `held_back` as "held back".
"""

import re
import subprocess

# What not to write, as a pattern over lower-case words that single spaces separate; and what to write.
INSTEAD = {
    r"packed|unpacking|packing": "encapsulated, decapsulate, encapsulation",
    r"tidings|happenings?": "an event, with a noun in front",
    r"judges?|testimon(?:y|ies)|standings?|evidence|pulse": "failure detector, report, state, observation, liveness",
    r"falls?(?! back)|forgiv(?:e|es|en|eness)": "flap, flap count, flap decay",
    r"forbears?|hastens?": "extend the deadline, probe now",
    r"audience|standpoints?|hearing": "reachability, position, heard peers",
    r"greet(?:s|ed|ing|ings)?": "initiate a handshake",
    r"(?<!leak )(?<!wire )guards?": "leak guard",
    r"contracts?": "constants",
    r"mod (?:made|testing|builders)": "fixtures",
    r"surveys?|surveyors?|blueprints?|sheets?|tones?": "snapshot, collector, cluster plan, document, style",
    r"keepers?|held back|sleepers?|equipment": "supervisor, delayed packets, idle pods, host setup",
    r"(?:left|leave|leaves|leaving) out": "ignored, rejected",
    r"he|him|his|she|whoever|whomever|somebody|anybody|nobody": "the node, the agent, a caller",
}
PATTERN = re.compile(rf"\b(?:{'|'.join(INSTEAD)})\b")
# Names of other projects and of Rust.
ALLOWED = re.compile(r"mutex guard|rw lock (?:read|write) guard|drop guard")
# Keys, certificates and hashes.
BASE64 = re.compile(r"[A-Za-z0-9+/]{40,}")
FILES = ["*.md", "*.rs", "*.toml", "*.yaml", "*.yml", "*.sh", "*.py", "*.html", "*.js", "*.css", "*.json"]


def words_of(text):
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", BASE64.sub(" ", text))
    return " ".join(re.findall(r"[A-Za-z]+", text)).lower()


def wrong_words(root):
    """The lines that contain a word of the dialect, as messages."""
    listed = subprocess.run(["git", "ls-files", *FILES], cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout
    for name in listed.splitlines():
        if name == "scripts/words.py" or name.startswith("fuzz/corpus/"):
            continue
        text = (root / name).read_text()
        if not PATTERN.search(words_of(text)):
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            for match in PATTERN.finditer(ALLOWED.sub("", words_of(line))):
                instead = next(instead for words, instead in INSTEAD.items() if re.fullmatch(words, match.group()))
                yield f'{name}:{number} says "{match.group()}"; write: {instead}'
