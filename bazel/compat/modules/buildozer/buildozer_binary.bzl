# SPDX-License-Identifier: MIT
"""Stands in for @buildozer, which Bazel 7 names but only `bazel mod tidy` runs."""

def _none(_ctx):
    pass

buildozer_binary = module_extension(implementation = _none)
