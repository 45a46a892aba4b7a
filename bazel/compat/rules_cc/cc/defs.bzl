# SPDX-License-Identifier: MIT
"""The part of rules_cc that Bazel 4's own build files and this project load."""

load("//cc/private:builtins.bzl", "builtin_CcInfo", "builtin_cc_common")

CcInfo = builtin_CcInfo
cc_common = builtin_cc_common
cc_binary = native.cc_binary
cc_import = native.cc_import
cc_library = native.cc_library
cc_test = native.cc_test
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
cc_proto_library = native.cc_proto_library
objc_library = native.objc_library
