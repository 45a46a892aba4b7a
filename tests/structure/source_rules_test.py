#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The source rules catch what they are for. Plain asserts: Python's smallest library has no unittest."""

import source_rules as rules

SPDX = "// SPDX-License-Identifier: MIT\n"


def test_paths_are_module_names():
    names = {
        "modules/core/error.cppm": "latchkey.core.error",
        "modules/core/core.cppm": "latchkey.core",
        "modules/core/os/os.cppm": "latchkey.core.os",
        "modules/latchkey.cppm": "latchkey",
        "dpop/dpop.cppm": "latchkey.dpop",
        "dpop/proof.cppm": "latchkey.dpop.proof",
        "stores/store.cppm": "latchkey.store",
        "stores/sqlite.cppm": "latchkey.store.sqlite",
        "stores/vault/vault.cppm": "latchkey.store.vault",
        "stores/vault/master_key.cppm": "latchkey.store.vault.master_key",
        "cli/output.cppm": "latchkey.cli.output",
    }
    for path, name in names.items():
        assert rules.module_of_path(path) == name, (path, rules.module_of_path(path))


def problems(path, *lines):
    return rules.check_module_file(path, SPDX + "\n".join(lines) + "\n")


def interface(*lines, path="dpop/proof.cppm", name="latchkey.dpop.proof"):
    return problems(path, "module;", "#include <string>", "export module %s;" % name, *lines)


def test_what_is_right_passes():
    assert interface("import latchkey.core.error;", "import latchkey.http;", "import latchkey.dpop.jwk;") == []
    assert problems("dpop/proof.cpp", "module;", "#include <openssl/evp.h>", "module latchkey.dpop.proof;") == []
    assert problems("dpop/p256_sign.cpp", "module latchkey.dpop.p256;") == []


def test_levels():
    assert interface("import latchkey.oauth.token;")
    assert interface("import latchkey.store;"), "dpop must not know the stores"
    assert interface("import latchkey.dpop;", path="stores/record.cppm", name="latchkey.store.record")
    assert interface("import latchkey.http;", path="modules/core/url.cppm", name="latchkey.core.url")
    assert interface("import latchkey.atproto.client;", path="modules/atproto/identity.cppm", name="latchkey.atproto.identity")
    assert interface("import latchkey;"), "nobody below imports the hub"
    assert interface("import latchkey.attic.box;"), "a room without a level"
    assert problems("dpop/proof.cpp", "module latchkey.dpop.proof;", "import latchkey.refresh.keeper;")


def test_concrete_choices_belong_to_the_caller():
    keeper = {"path": "modules/refresh/keeper.cppm", "name": "latchkey.refresh.keeper"}
    assert interface("import latchkey.store;", **keeper) == []
    assert interface("import latchkey.store.sqlite;", **keeper)
    assert interface("import latchkey.http.cpprest;", **keeper)
    client = {"path": "modules/atproto/client.cppm", "name": "latchkey.atproto.client"}
    assert interface("import latchkey.http.cpprest;", **client) == []
    assert interface("import latchkey.store.sqlite;", **client)
    assert interface("import latchkey.store.sqlite;", path="modules/latchkey.cppm", name="latchkey") == []


def test_interfaces():
    assert interface(name="latchkey.dpop.prof"), "name and path differ"
    assert problems("dpop/proof.cppm", "module latchkey.dpop.proof;"), "no export"
    assert interface(name="latchkey.dpop.proof:part"), "partition"
    assert interface("#include <vector>"), "include in the purview"
    assert interface("import <vector>;") and interface("import std;")
    for header in ["openssl/evp.h", "sodium.h", "nlohmann/json.hpp", "cpprest/http_client.h", "SQLiteCpp/SQLiteCpp.h", "curl/curl.h"]:
        found = problems("dpop/proof.cppm", "module;", "#include <%s>" % header, "export module latchkey.dpop.proof;")
        assert len(found) == 1, (header, found)


def test_comments_are_no_code():
    assert interface("// import latchkey.refresh.keeper;", "/* import std; */") == []


def test_implementation_units_lie_beside_their_interface():
    assert problems("stores/proof.cpp", "module latchkey.dpop.proof;")
    assert problems("dpop/proof.cpp", "int x;")


def test_every_file_is_listed():
    lists = {"dpop": "latchkey_modules(jwk\n  deep/proof) # nonce\nlatchkey_sources(more.cpp)"}
    files = ["dpop/jwk.cppm", "dpop/deep/proof.cppm", "dpop/deep/proof.cpp", "dpop/more.cpp"]
    assert rules.check_listed(lists, files) == []
    assert rules.check_listed(lists, files + ["dpop/nonce.cppm"]), "in no list"
    assert rules.check_listed(lists, files[1:]), "listed, but not there"
    assert rules.check_listed(lists, files[:-1]), "listed, but not there"


def test_sizes_only_warn():
    found, warnings = rules.check_any_file("dpop/x.cppm", SPDX + "\n" * 300)
    assert found == [] and len(warnings) == 1
    assert rules.check_any_file("dpop/x.cppm", "\n" + SPDX)[0]


TESTS = [f for n, f in sorted(globals().items()) if n.startswith("test_")]
for test in TESTS:
    test()
print("%d passed" % len(TESTS))
