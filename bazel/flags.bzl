# SPDX-License-Identifier: MIT
"""One set of flags for every target: modules built with others can't be imported."""

COPTS = [
    "-std=c++20",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
]

# System libraries, by what cmake/dependencies.cmake finds.
LINKOPTS = {
    "catch2": ["-lCatch2Main", "-lCatch2"],
    "openssl": ["-lssl", "-lcrypto"],
    "sodium": ["-lsodium"],
    "sqlite": ["-lSQLiteCpp", "-lsqlite3"],
    "threads": ["-lpthread"],
}
