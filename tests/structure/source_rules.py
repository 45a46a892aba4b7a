#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the rules of the source tree that no compiler checks: levels, names, and where foreign headers may be.

  source_rules.py ROOT    prints each problem and exits 1 if there is one; sizes beyond the alarm are only warned about

The rules themselves are tested by source_rules_test.py.
"""

import pathlib
import re
import sys

# A module imports from lower or equal levels only. The longest matching name counts.
LEVELS = {
    "latchkey.core": 1,
    "latchkey.http": 1,
    "latchkey.session": 2,
    "latchkey.dpop": 3,
    "latchkey.store": 3,
    "latchkey.oauth": 4,
    "latchkey.oidc": 4,
    "latchkey.atproto": 4,
    "latchkey.loopback": 5,
    "latchkey.refresh": 5,
    "latchkey.flows": 6,
    "latchkey.strategy": 6,
    "latchkey.atproto.client": 7,
    "latchkey.atproto.client_identity": 7,
    "latchkey.atproto.login": 7,
    "latchkey.atproto.pds": 7,
    "latchkey.atproto.xrpc_client": 7,
    "latchkey.sandbox": 8,
    "latchkey": 8,
    "latchkey.cli": 9,
    "latchkey.examples": 9,
}
# Rooms of one level that do not know each other, and the base that knows nobody.
STRANGERS = [("latchkey.dpop", "latchkey.store"), ("latchkey.core", "latchkey.http")]
# Chosen by the tool, examples and tests only; the hub hands them on, and clients have transports by default.
CONCRETE = {
    "latchkey.store": ["latchkey.store.memory", "latchkey.store.filesystem", "latchkey.store.sqlite", "latchkey.store.postgres"],
    "latchkey.http": ["latchkey.http.cpprest", "latchkey.http.curl", "latchkey.http.cares"],
}
DEFAULT_TRANSPORTS = ["latchkey.atproto.client", "latchkey.flows.environment"]
FOREIGN = re.compile(r"(cpprest|pplx|openssl|SQLiteCpp|nlohmann|boost|curl|CLI|catch2|libsecret|pqxx)/|(sodium|sqlite3|ares|libpq-fe)\.h$")
ALARMS = {"interface": 250, "implementation": 500, "test": 400}


def module_of_path(path):
    """What the module of an interface file must be called; path is relative and ends in .cppm."""
    folders, name = path.split("/")[:-1], path.split("/")[-1].rsplit(".", 1)[0]
    if folders[0] == "modules":
        folders = folders[1:]
    elif folders[0] == "stores":
        folders = ["store"] + folders[1:]
        name = "store" if len(folders) == 1 and name == "store" else name
    if name == "latchkey" and not folders:
        return "latchkey"
    return ".".join(["latchkey"] + folders + ([] if folders and name == folders[-1] else [name]))


def within(module, room):
    return module == room or module.startswith(room + ".")


def level(module):
    # The bare hub is no room: it is itself only.
    rooms = [room for room in LEVELS if (module == room if room == "latchkey" else within(module, room))]
    return LEVELS[max(rooms, key=len)] if rooms else None


def import_problem(module, imported):
    """Why `module` may not import `imported`, or None."""
    own, other = level(module), level(imported)
    if own is None or other is None:
        return "%s has no level; add it to the table in tests/structure/source_rules.py" % (module if own is None else imported)
    if other > own:
        return "level %d imports %s of level %d" % (own, imported, other)
    for one, two in STRANGERS:
        if within(module, one) and within(imported, two):
            return "%s must not know %s" % (one, two)
    if within(module, "latchkey.store") and within(imported, "latchkey.dpop"):
        return "latchkey.store must not know latchkey.dpop"
    for room, concrete in CONCRETE.items():
        free = [room, "latchkey.cli", "latchkey.sandbox"] + (DEFAULT_TRANSPORTS if room == "latchkey.http" else [])
        chooses = module == "latchkey" or any(within(module, name) for name in free)
        if not chooses and any(within(imported, name) for name in concrete):
            return "%s is a concrete choice, which belongs to the caller" % imported
    return None


def without_comments(text):
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)


def check_module_file(path, text):
    """Problems of one .cppm or of an implementation unit."""
    problems = []
    code = without_comments(text)
    declared = re.search(r"^(export )?module ([\w.:]+);", code, re.M)
    if path.endswith(".cppm"):
        if not declared or not declared[1]:
            return ["no `export module` line"]
        if declared[2] != module_of_path(path):
            problems.append("declares %s; by its path it is %s" % (declared[2], module_of_path(path)))
        for header in re.findall(r'^#\s*include\s*[<"]([^>"]+)', code, re.M):
            if FOREIGN.search(header):
                problems.append("includes %s: foreign headers belong in .cpp files" % header)
    if not declared:
        return ["is no module file: no `module` line"]
    if ":" in declared[2]:
        problems.append("is a partition; this tree has none")
    if re.search(r"^#\s*include", code[declared.end() :], re.M):
        problems.append("includes after its module line: that attaches the header to the module")
    if re.search(r'^(export )?import\s*[<"]|^(export )?import std\b', code, re.M):
        problems.append("imports a header unit or std")
    for imported in re.findall(r"^(?:export )?import ([\w.]+);", code, re.M):
        problem = import_problem(declared[2], imported)
        if problem:
            problems.append(problem)
    if path.endswith(".cpp") and not declared[1]:
        owners = [str(pathlib.PurePosixPath(path).with_name(name)) for name in siblings_of(declared[2])]
        if declared[2] not in (module_of_path(owner) for owner in owners):
            problems.append("belongs to %s, whose interface is in another folder" % declared[2])
    return problems


def siblings_of(module):
    """File names that the interface of `module` can have."""
    last = module.split(".")[-1]
    return [last + ".cppm"]


def check_listed(lists, files):
    """Every module file is listed explicitly. `lists`: {folder: text of its CMakeLists.txt}; `files`: paths."""
    wanted, possible = set(), set()
    for folder, cmake in lists.items():
        cmake = re.sub(r"#.*", "", cmake)
        for function, calls in re.findall(r"\b(latchkey_modules|latchkey_sources)\(([^)]*)\)", cmake):
            for name in calls.split():
                path = "%s/%s" % (folder, name)
                wanted.add(path + ".cppm" if function == "latchkey_modules" else path)
                possible.add(path + ".cpp")
    problems = ["%s: in no CMakeLists.txt" % f for f in sorted(files) if f not in wanted | possible]
    return problems + ["%s: listed in CMakeLists.txt, but not there" % f for f in sorted(wanted - set(files))]


def kind(path):
    if path.startswith("tests/"):
        return "test"
    return "interface" if path.endswith(".cppm") else "implementation"


def check_any_file(path, text):
    """(problems, warnings) that concern every C++ file."""
    problems = [] if text.startswith("// SPDX-License-Identifier: MIT\n") else ["does not begin with the SPDX line"]
    lines = text.count("\n")
    limit = ALARMS[kind(path)]
    return problems, ["%d lines, the alarm is at %d: split it by concept" % (lines, limit)] if lines > limit else []


def sources(root):
    for top in ["modules", "dpop", "stores", "cli", "examples", "tests"]:
        for file in sorted((root / top).rglob("*.cpp*")):
            if "node_modules" not in file.parts:
                yield file.relative_to(root).as_posix(), file.read_text()


def check_tree(root):
    problems, warnings, files = [], [], []
    for path, text in sources(root):
        found, alarms = check_any_file(path, text)
        in_library = path.split("/")[0] in ("modules", "dpop", "stores")
        if in_library or (path.endswith(".cppm") and not path.startswith("tests/")):
            found = found + check_module_file(path, text)
        if in_library:
            files.append(path)
        problems += ["%s: %s" % (path, p) for p in found]
        warnings += ["%s: %s" % (path, w) for w in alarms]
    lists = [file for top in ("modules", "dpop", "stores") for file in (root / top).rglob("CMakeLists.txt")]
    problems += check_listed({file.parent.relative_to(root).as_posix(): file.read_text() for file in lists}, files)
    return problems, warnings, len(files)


def main(arguments):
    if len(arguments) != 1:
        print("usage: source_rules.py ROOT", file=sys.stderr)
        return 2
    problems, warnings, count = check_tree(pathlib.Path(arguments[0]))
    for warning in warnings:
        print("warning: " + warning)
    for problem in problems:
        print(problem)
    if count == 0:
        print("no module files found under " + arguments[0])
    return 1 if problems or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
