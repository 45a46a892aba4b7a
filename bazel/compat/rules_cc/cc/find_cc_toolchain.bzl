# SPDX-License-Identifier: MIT
"""Bazel 4's own toolchain lookup under the names that rules_cc gives it."""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

# What ctx.actions.run(toolchain = ...) is given; Bazel 4 has no such parameter.
CC_TOOLCHAIN_TYPE = None

find_cc_toolchain = find_cpp_toolchain

def use_cc_toolchain():
    return ["@bazel_tools//tools/cpp:toolchain_type"]
