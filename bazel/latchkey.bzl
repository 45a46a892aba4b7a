# SPDX-License-Identifier: MIT
"""How this project uses the rules of cc_modules.bzl: one target a module, named like its file."""

load(":cc_modules.bzl", "cc_module_binary", "cc_module_library", "cc_module_test")
load(":flags.bzl", "COPTS", "LINKOPTS")

def _module_name(package, name):
    """The rule of the source tree: path is module name, and a file named like its folder has the bare name."""
    folders = package.split("/")
    if folders[0] == "tests":
        return "latchkey.test." + name
    if folders[0] == "modules":
        folders = folders[1:]
    elif folders[0] == "stores":
        folders = ["store"] + folders[1:]
    if not folders or name != folders[-1]:
        folders = folders + [name]
    return ".".join((["latchkey"] if folders[0] != "latchkey" else []) + folders)

def _linkopts(libraries):
    linkopts = []
    for library in libraries:
        linkopts = linkopts + LINKOPTS[library]
    return linkopts

def latchkey_module(name, module_name = None, together_with = [], srcs = [], deps = [], libraries = [], testonly = False):
    """The module of name.cppm.

    Args:
      name: the file's name without its ending.
      module_name: if it is not the one by its path; tests only.
      together_with: modules that it needs and that need it, in the order of their interfaces' imports.
      srcs: the implementation units.
      deps: the modules that it and its implementation units import.
      libraries: of flags.bzl's LINKOPTS.
      testonly: for tests alone.
    """
    cc_module_library(
        name = name,
        srcs = srcs,
        copts = COPTS,
        linkopts = _linkopts(libraries),
        module_interfaces = {
            module + ".cppm": (module_name if module == name else None) or _module_name(native.package_name(), module)
            for module in [name] + together_with
        },
        testonly = testonly,
        visibility = ["//visibility:public"],
        deps = deps,
    )
    for module in together_with:
        native.alias(name = module, actual = name, testonly = testonly, visibility = ["//visibility:public"])

def latchkey_test_program(name, srcs, deps = [], libraries = []):
    """A program that tests start.

    Args:
      name: the same as in CMake.
      srcs: its files.
      deps: the modules that they import.
      libraries: of flags.bzl's LINKOPTS.
    """
    cc_module_binary(
        name = name,
        testonly = True,
        srcs = srcs,
        copts = COPTS,
        linkopts = _linkopts(libraries),
        deps = deps,
    )

def latchkey_test(name, srcs, deps = [], libraries = [], programs = [], size = "medium", **kwargs):
    """A Catch2 program.

    Args:
      name: the same as in CMake.
      srcs: its files; the ones that end in _test.cpp hold the tests.
      deps: the modules that they import.
      libraries: of flags.bzl's LINKOPTS.
      programs: that it starts: "MACRO=target", where the macro gets the path.
      size: as in cc_test.
      **kwargs: as in cc_test.
    """
    defines = ['LATCHKEY_TEST_DATA="tests/data"']
    data = ["//tests/data"]
    for program in programs:
        macro, target = program.split("=")
        defines.append('%s="%s/%s"' % (macro, native.package_name(), target))
        data.append(":" + target)
    cc_module_test(
        name = name,
        size = size,
        srcs = srcs,
        copts = COPTS,
        data = data,
        linkopts = _linkopts(["catch2"] + libraries),
        local_defines = defines,
        deps = deps,
        **kwargs
    )
