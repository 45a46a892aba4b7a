# SPDX-License-Identifier: MIT
"""Bazel 4 has these as globals; a file cannot re-export a global under its own name."""

builtin_CcInfo = CcInfo
builtin_cc_common = cc_common
