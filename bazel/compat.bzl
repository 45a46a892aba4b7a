# SPDX-License-Identifier: MIT
"""The one place that names where the C++ Starlark API comes from.

rules_cc on Bazel 7 and newer; bazel/compat/rules_cc (re-exported builtins) on Bazel 4.
"""

load("@rules_cc//cc:defs.bzl", _CcInfo = "CcInfo", _cc_binary = "cc_binary", _cc_common = "cc_common", _cc_library = "cc_library", _cc_test = "cc_test")
load("@rules_cc//cc:find_cc_toolchain.bzl", _CC_TOOLCHAIN_TYPE = "CC_TOOLCHAIN_TYPE", _find_cc_toolchain = "find_cc_toolchain", _use_cc_toolchain = "use_cc_toolchain")

CcInfo = _CcInfo
cc_binary = _cc_binary
cc_common = _cc_common
cc_library = _cc_library
cc_test = _cc_test
CC_TOOLCHAIN_TYPE = _CC_TOOLCHAIN_TYPE
find_cc_toolchain = _find_cc_toolchain
use_cc_toolchain = _use_cc_toolchain
