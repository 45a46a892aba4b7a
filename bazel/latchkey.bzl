# SPDX-License-Identifier: MIT
"""How this project uses the rules of cc_modules.bzl: one target a module, named like its file."""

load(":cc_modules.bzl", "cc_module_library", "cc_module_test")
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

def latchkey_module(name, srcs = [], deps = [], libraries = [], testonly = False):
    """The module of name.cppm.

    Args:
      name: the file's name without its ending.
      srcs: its implementation units.
      deps: the modules that it and its implementation units import.
      libraries: of flags.bzl's LINKOPTS.
      testonly: for tests alone.
    """
    linkopts = []
    for library in libraries:
        linkopts = linkopts + LINKOPTS[library]
    cc_module_library(
        name = name,
        srcs = srcs,
        copts = COPTS,
        linkopts = linkopts,
        module_interfaces = {name + ".cppm": _module_name(native.package_name(), name)},
        testonly = testonly,
        visibility = ["//visibility:public"],
        deps = deps,
    )

def latchkey_test(name, srcs, deps = [], libraries = [], data = [], size = "small", **kwargs):
    """A Catch2 program.

    Args:
      name: the same as in CMake.
      srcs: its files; the ones that end in _test.cpp hold the tests.
      deps: the modules that they import.
      libraries: of flags.bzl's LINKOPTS.
      data: files that it reads, besides tests/data.
      size: as in cc_test.
      **kwargs: as in cc_test.
    """
    linkopts = LINKOPTS["catch2"]
    for library in libraries:
        linkopts = linkopts + LINKOPTS[library]
    cc_module_test(
        name = name,
        size = size,
        srcs = srcs,
        copts = COPTS,
        data = data + ["//tests/data"],
        linkopts = linkopts,
        local_defines = ['LATCHKEY_TEST_DATA="tests/data"'],
        deps = deps,
        **kwargs
    )
