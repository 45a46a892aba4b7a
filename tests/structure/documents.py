#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that the documents say what is there.

  documents.py ROOT    prints each problem and exits 1 if there is one

Relative links of every *.md lead to a file, and to a heading of it if they name one; every `./dev VERB` that is mentioned
is a verb of ./dev, and the README begins with `./dev demo` and `./dev test`; the README's C++ snippet is
examples/readme.cpp. The rules themselves are tested by documents_test.py.
"""

import pathlib
import posixpath
import re
import sys

SKIPPED = {".git", "build", "node_modules"}


def documents(root):
    for file in sorted(root.rglob("*.md")):
        if not SKIPPED & set(file.relative_to(root).parts):
            yield file


def without_code(text):
    """Links in code are no links."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


def headings(text):
    """The names that links can have after "#", as GitHub makes them."""
    names = set()
    for line in re.findall(r"^#+ +(.+?)\s*$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M):
        name = re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-")
        names.add(name)
    return names


def broken_links(path, text, read):
    """`read(path)`: the text of the file or folder at a path from the root, or None."""
    problems = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(text)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, heading = target.partition("#")
        other = read(posixpath.normpath(posixpath.join(posixpath.dirname(path), file))) if file else text
        if other is None:
            problems.append("links to %s, which is not there" % target)
        elif heading and heading not in headings(other):
            problems.append("links to %s, and there is no such heading" % target)
    return problems


def verbs(dev):
    """The verbs that ./dev has: functions verb_NAME that its last `case` lets through."""
    return {verb for verb in re.findall(r"^verb_(\w+)\(\)", dev, re.M) if re.search(r"^ *[\w |]*\b%s\b[\w |]*\) \"verb_" % verb, dev, re.M)}


def unknown_verbs(text, known):
    used = re.findall(r"\./dev ([a-z]+)", text)
    return ["mentions ./dev %s, and there is no such verb" % verb for verb in sorted(set(used) - known)]


def readme_problems(readme, dev, example):
    problems = []
    top = readme[: readme.find("\n## ")]
    for command in ("./dev demo", "./dev test"):
        if not re.search(r"^    %s\b|^%s\b" % (re.escape(command), re.escape(command)), top, re.M):
            problems.append("does not show the command %s before its first section" % command)
    for verb in ("demo", "test"):
        if verb not in verbs(dev):
            problems.append("./dev has no verb %s" % verb)
    snippets = re.findall(r"^```cpp\n(.*?)^```$", readme, re.M | re.S)
    code = re.sub(r"\A// SPDX[^\n]*\n", "", example)
    if code not in snippets:
        problems.append("has no C++ snippet that equals examples/readme.cpp")
    return problems


def check(root):
    dev = (root / "dev").read_text()
    problems = []

    def read(path):
        file = root / path
        return None if path.startswith("..") or not file.exists() else file.read_text() if file.is_file() else ""

    for file in documents(root):
        text = file.read_text()
        found = broken_links(file.relative_to(root).as_posix(), text, read) + unknown_verbs(text, verbs(dev))
        if file == root / "README.md":
            found += readme_problems(text, dev, (root / "examples" / "readme.cpp").read_text())
        problems += ["%s: %s" % (file.relative_to(root), problem) for problem in found]
    for name in ("README.md", "SECURITY.md", "CHANGELOG.md", "docs/architecture.md", "docs/decisions.md", "docs/formats.md"):
        if not (root / name).exists():
            problems.append("%s is not there" % name)
    return problems


def main(arguments):
    if len(arguments) != 1:
        print("usage: documents.py ROOT", file=sys.stderr)
        return 2
    problems = check(pathlib.Path(arguments[0]))
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
