#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that marked lines of a file do not compile, and that the rest does.

  refused.py COMPILE_COMMANDS LIKE FILE

FILE is compiled with the command of LIKE (a source of the built tree that imports the same modules), for its diagnostics
only. With LATCHKEY_REFUSED each statement below a line `// refused: TEXT` must be an error whose message has TEXT, and nothing
else may be one; without it the whole file must compile.
"""

import json
import re
import shlex
import subprocess
import sys


def command_like(commands, like, file):
    entry = next(one for one in commands if one["file"].endswith(like))
    words = shlex.split(entry["command"]) if "command" in entry else list(entry["arguments"])
    for option in ("-o", "-c", "-MF", "-MT"):
        while option in words:
            at = words.index(option)
            del words[at : at + 2]
    words = [word for word in words if word != "-MD"]
    more = ["-fsyntax-only", "-ferror-limit=0", "-fno-color-diagnostics", "-fno-caret-diagnostics"]
    return words + more + [file], entry["directory"]


def errors_of(words, directory, file):
    done = subprocess.run(words, cwd=directory, capture_output=True, text=True)
    found = {}
    for line, message in re.findall(r"^%s:(\d+):\d+: error: (.*)$" % re.escape(file), done.stderr, re.M):
        found.setdefault(int(line), []).append(message)
    return done, found


def marked_statements(lines):
    """Pairs of line numbers and text, for each mark."""
    marked = []
    for at, line in enumerate(lines):
        mark = re.fullmatch(r"\s*// refused: (.*\S)", line)
        if mark:
            end = next(n for n in range(at + 1, len(lines)) if lines[n].endswith(";"))
            marked.append((range(at + 2, end + 2), mark[1]))
    return marked


def problems_of(commands, like, file):
    words, directory = command_like(commands, like, file)
    done, _ = errors_of(words, directory, file)
    if done.returncode != 0:
        return ["what is complete does not compile:\n" + done.stderr]
    with open(file, encoding="utf-8") as text:
        marked = marked_statements(text.read().splitlines())
    if not marked:
        return ["nothing is marked"]
    _, found = errors_of(words + ["-DLATCHKEY_REFUSED"], directory, file)
    problems = []
    for lines, wanted in marked:
        messages = [message for n in lines for message in found.pop(n, [])]
        if not any(wanted in message for message in messages):
            problems.append("line %d compiles, or is refused for another reason: %s" % (lines[0], messages or "no error"))
    return problems + ["line %d is refused too: %s" % (n, messages) for n, messages in found.items()]


def main():
    commands, like, file = sys.argv[1:4]
    with open(commands, encoding="utf-8") as text:
        problems = problems_of(json.load(text), like, file)
    print("\n".join(problems) or "all as it should be")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
