#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the BUILD files beside the sources from what CMake lists and the sources import.

  bazel/build_files.py           writes them
  bazel/build_files.py --check   only compares: exit 1 and the differences, if they are not what would be written

So CMake and Bazel list the same sources, and every target's deps are its imports. Python's smallest library is enough.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# The folders that Bazel builds, and with them every test that needs nothing else.
ROOMS = ["modules/core", "modules/core/os", "modules/http", "modules/session", "dpop", "stores", "stores/vault"]
# The examples' tests start programs that CMake alone builds. The PostgreSQL store is a library of CMake's alone, for
# libpqxx, and its tests start a server.
TESTS = sorted(str(file.parent.relative_to(ROOT)) for file in (ROOT / "tests").glob("*/CMakeLists.txt")
               if file.parent.name not in ("examples", "postgres"))
# The HTTP adapters stay with CMake: Bazel has the contract, and a program brings a transport of its own.
# So does the trace, which the clients give to those. So does the keychain, for libsecret and what that needs.
LEFT_OUT = {
    "modules/http": lambda name: name.split("/")[0] in ("cpprest", "curl", "cares", "trace"),
    "stores/vault": lambda name: name == "keychain",
}

LIBRARIES = [("openssl", r"openssl/"), ("sodium", r"sodium\.h"), ("sqlite", r"SQLiteCpp/|sqlite3\.h")]
HEAD = "# SPDX-License-Identifier: MIT\n# Written by bazel/build_files.py from CMakeLists.txt and the sources' imports; ./dev bazel keeps it so.\n"


class Problem(Exception):
    """The sources do not follow the rules that this script relies on."""


def cmake_calls(folder, function):
    """The words of every call of `function` in the folder's CMakeLists.txt."""
    file = ROOT / folder / "CMakeLists.txt"
    if not file.exists():
        return []
    text = re.sub(r"#.*", "", file.read_text())
    return [call.split() for call in re.findall(r"\b%s\(([^)]*)\)" % function, text)]


def module_name(folder, name):
    """Path is module name; a file named like its folder has the bare name."""
    parts = folder.split("/")
    if parts[0] == "tests":
        return "latchkey.test." + name
    parts = {"modules": [], "stores": ["store"]}.get(parts[0], parts[:1]) + parts[1:]
    return ".".join(["latchkey"] + parts + ([] if parts and name == parts[-1] else [name]))


def imports(text):
    return set(re.findall(r"^(?:export )?import (latchkey[\w.]*);", text, re.M))


def system_libraries(text):
    included = re.findall(r"^#include <([^>]+)>", text, re.M)
    return [name for name, pattern in LIBRARIES if any(re.match(pattern, i) for i in included)]


class Module:
    def __init__(self, folder, name):
        self.folder, self.name, self.module = folder, name, module_name(folder, name)
        self.label = "//%s:%s" % (folder, name)
        self.sources = [name + ".cpp"] if (ROOT / folder / (name + ".cpp")).exists() else []

    def interface(self):
        return (ROOT / self.folder / (self.name + ".cppm")).read_text()

    def text(self):
        return "\n".join((ROOT / self.folder / f).read_text() for f in [self.name + ".cppm"] + self.sources)


def read_modules():
    """Every module that Bazel builds, by module name."""
    modules = {}
    for folder in ROOMS:
        left_out = LEFT_OUT.get(folder, lambda name: False)
        names = [name for call in cmake_calls(folder, "latchkey_modules") for name in call]
        for name in names:
            if not left_out(name):
                modules[module_name(folder, name)] = Module(folder, name)
        give_sources(folder, [s for call in cmake_calls(folder, "latchkey_sources") for s in call], modules)
    return modules | read_support(modules)


def give_sources(folder, sources, modules):
    """Adds each implementation unit to the module that it names."""
    for source in sources:
        owner = re.search(r"^module (latchkey[\w.]*);", (ROOT / folder / source).read_text(), re.M)
        if not owner:
            raise Problem("%s/%s is listed as an implementation unit, and is none" % (folder, source))
        if owner[1] in modules and source not in modules[owner[1]].sources:
            modules[owner[1]].sources.append(source)


def read_support(modules):
    """The tests' own modules, without those that need a room which Bazel does not build."""
    support = {}
    for folder in TESTS:
        words = [word for call in cmake_calls(folder, "target_sources") for word in call]
        for name in (word[:-5] for word in words if word.endswith(".cppm")):
            module = Module(folder, name)
            # Tests may name their modules as they like: two rooms can each have a file `places`.
            module.module = re.search(r"^export module ([\w.]+);", module.interface(), re.M)[1]
            support[module.module] = module
        give_sources(folder, [word for word in words if word.endswith(".cpp")], support)
    while True:
        known = set(modules) | set(support)
        kept = {name: module for name, module in support.items() if imports(module.text()) <= known}
        if len(kept) == len(support):
            return support
        support = kept


def attribute(name, values):
    if values is True:
        return "    %s = True,\n" % name
    if isinstance(values, str):
        return '    %s = "%s",\n' % (name, values)
    if not values:
        return ""
    if len(values) == 1:
        return '    %s = ["%s"],\n' % (name, values[0])
    return "    %s = [\n%s    ],\n" % (name, "".join('        "%s",\n' % v for v in values))


def target(rule, name, **attributes):
    return '%s(\n    name = "%s",\n%s)\n' % (rule, name, "".join(attribute(k, v) for k, v in attributes.items()))


def labels(wanted, modules, folder, where):
    """Bazel's names of these modules, as seen from the folder."""
    found = []
    for name in wanted:
        if name not in modules:
            raise Problem("%s imports %s, which no folder that Bazel builds has" % (where, name))
        module = modules[name]
        short = "//%s" % module.folder if module.name == module.folder.split("/")[-1] else module.label
        found.append(":" + module.name if module.folder == folder else short)
    return sorted(found, key=lambda label: (not label.startswith(":"), label.replace(":", "!")))


def reachable(start, modules, text):
    """The modules that these need, themselves included, by the imports of `text(module)`."""
    found, todo = set(), [start]
    while todo:
        name = todo.pop()
        if name in modules and name not in found:
            found.add(name)
            todo += imports(text(modules[name])) - {name}
    return found


def group_of(module, modules):
    """The modules that need each other, because an implementation unit imports what imports its interface: one target,
    its interfaces in the order of their own imports."""
    group = [
        other
        for other in reachable(module.module, modules, Module.text)
        if module.module in reachable(other, modules, Module.text)
    ]
    if any(modules[other].folder != module.folder for other in group):
        raise Problem("modules of two folders need each other: " + ", ".join(sorted(group)))
    return sorted(group, key=lambda other: (len(reachable(other, modules, Module.interface)), other))


def module_targets(folder, modules):
    text = ""
    for module in sorted((m for m in modules.values() if m.folder == folder), key=lambda m: m.name):
        group = group_of(module, modules)
        if group[0] != module.module:
            continue  # written with the first of its group
        content = "\n".join(modules[name].text() for name in group)
        deps = labels(imports(content) - set(group), modules, folder, "%s/%s" % (folder, module.name))
        attributes = {}
        if module.module != module_name(folder, module.name):
            attributes["module_name"] = module.module
        attributes.update(
            together_with=[modules[name].name for name in group[1:]],
            srcs=[source for name in group for source in modules[name].sources],
            deps=deps,
            libraries=system_libraries(content))
        if folder in TESTS:
            attributes["testonly"] = True
        text += "\n" + target("latchkey_module", module.name, **attributes)
    return text


def test_targets(folder, modules):
    text = ""
    for name, *files in cmake_calls(folder, "latchkey_test"):
        contents = {file: (ROOT / folder / file).read_text() for file in files}
        left_out = [file for file in files if not imports(contents[file]) <= set(modules)]
        files = [file for file in files if file not in left_out]
        if not any(file.endswith("_test.cpp") for file in files):
            continue
        content = "\n".join(contents[file] for file in files)
        deps = labels(imports(content), modules, folder, folder)
        text += "".join("\n# Left to CMake, for what it imports: %s" % file for file in left_out)
        programs = ["%s=%s" % pair for pair in programs_of(folder, name)]
        libraries = system_libraries(content)
        text += "\n" + target("latchkey_test", name, srcs=files, deps=deps, libraries=libraries, programs=programs)
    for name, *files in cmake_calls(folder, "add_executable"):
        if "$" in name:  # in a function
            continue
        content = "\n".join((ROOT / folder / file).read_text() for file in files)
        if not imports(content) <= set(modules):
            continue
        deps = labels(imports(content), modules, folder, folder)
        libraries = system_libraries(content)
        text += "\n" + target("latchkey_test_program", name, srcs=files, deps=deps, libraries=libraries)
    return text


def programs_of(folder, test):
    """The programs that a test starts: (macro that names the path, target)."""
    found = []
    for name, *words in cmake_calls(folder, "target_compile_definitions"):
        if name == test:
            found += re.findall(r'(\w+)="\$<TARGET_FILE:(\w+)>"', " ".join(words))
    return found


def build_file(folder, modules):
    """None if Bazel builds nothing there."""
    text = module_targets(folder, modules) + test_targets(folder, modules)
    rules = [rule for rule in ("latchkey_module", "latchkey_test", "latchkey_test_program") if "\n%s(" % rule in text]
    return HEAD + 'load("//bazel:latchkey.bzl", %s)\n' % ", ".join('"%s"' % rule for rule in rules) + text if text else None


def wanted_files():
    modules = read_modules()
    return {ROOT / folder / "BUILD": build_file(folder, modules) for folder in ROOMS + TESTS}


def main(arguments):
    if arguments not in ([], ["--check"]):
        print("usage: build_files.py [--check]", file=sys.stderr)
        return 2
    different = []
    try:
        wanted = wanted_files()
    except (Problem, OSError) as problem:
        print("build_files: %s" % problem, file=sys.stderr)
        return 1
    for path, text in wanted.items():
        if (path.read_text() if path.exists() else None) == text:
            continue
        different.append(str(path.relative_to(ROOT)))
        if arguments:
            continue
        if text is None:
            path.unlink()
        else:
            path.write_text(text)
    if different:
        print("build_files: %s %s" % ("not up to date, run ./dev bazel:" if arguments else "wrote", " ".join(different)), file=sys.stderr)
    return 1 if different and arguments else 0


sys.exit(main(sys.argv[1:]))
