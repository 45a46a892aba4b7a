// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <string>

import latchkey.core;

using namespace latchkey;

TEST_CASE("base64url: RFC 4648 vectors without padding", "[encoding]") {
  CHECK(base64url_encode(as_bytes("")) == "");
  CHECK(base64url_encode(as_bytes("f")) == "Zg");
  CHECK(base64url_encode(as_bytes("fo")) == "Zm8");
  CHECK(base64url_encode(as_bytes("foobar")) == "Zm9vYmFy");
}
