#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that marked lines of a file do not compile, and that the rest does.

  refused.py COMPILE_COMMANDS LIKE FILE

FILE is compiled with the command of LIKE (a source of the built tree that imports the same modules), for its diagnostics
only. With LATCHKEY_REFUSED each line marked `// refused: TEXT` must be an error whose message has TEXT, and no other line
may be one; without it the whole file must compile.
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


def problems_of(commands, like, file):
    words, directory = command_like(commands, like, file)
    done, _ = errors_of(words, directory, file)
    if done.returncode != 0:
        return ["what is complete does not compile:\n" + done.stderr]
    with open(file, encoding="utf-8") as text:
        marked = {n: m[1] for n, line in enumerate(text, 1) if (m := re.search(r"// refused: (.*\S)", line)) if "REFUSED(" in line}
    if not marked:
        return ["no line is marked"]
    done, found = errors_of(words + ["-DLATCHKEY_REFUSED"], directory, file)
    problems = ["line %d compiles, or is refused for another reason: %s" % (n, found.get(n, "no error"))
                for n, wanted in marked.items() if not any(wanted in message for message in found.get(n, []))]
    return problems + ["line %d is refused too: %s" % (n, found[n]) for n in found if n not in marked]


def main():
    commands, like, file = sys.argv[1:4]
    with open(commands, encoding="utf-8") as text:
        problems = problems_of(json.load(text), like, file)
    print("\n".join(problems) or "all as it should be")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
