// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cstddef>
#include <initializer_list>
#include <limits>
#include <string>
#include <utility>

import latchkey.core.error;
import latchkey.http;
import latchkey.http.framing;

using latchkey::Headers;

namespace {

bool is_clear(std::initializer_list<std::pair<const char*, const char*>> fields) {
  Headers headers;
  for (const auto& [name, value] : fields) headers.add(name, value).value();
  return latchkey::has_clear_framing(headers);
}

}  // namespace

TEST_CASE("has_clear_framing: takes one length, chunks, or neither", "[http.framing]") {
  CHECK(is_clear({}));
  CHECK(is_clear({{"content-length", "0"}}));
  CHECK(is_clear({{"Content-Length", "999999999999999999"}}));
  CHECK(is_clear({{"Transfer-Encoding", "chunked"}}));
  CHECK(is_clear({{"transfer-encoding", "Chunked"}, {"Trailer", "X"}}));
}

TEST_CASE("has_clear_framing: refuses lengths that two readers could read differently",
          "[http.framing]") {
  const char* value = GENERATE("", "-1", "+3", "3x", "0x3", "3, 3", "3 3", "3.0", "1e3",
                               "1000000000000000000", "18446744073709551616");
  CAPTURE(value);
  CHECK_FALSE(is_clear({{"Content-Length", value}}));
  CHECK_FALSE(is_clear({{"Content-Length", "3"}, {"content-length", "3"}}));
}

TEST_CASE("has_clear_framing: refuses codings but chunked, and chunked beside a length",
          "[http.framing]") {
  const char* value = GENERATE("", "gzip, chunked", "chunked, identity", "identity", "xchunked",
                               "chunked;q=1", "chunked, chunked", "chunke", "chunkedd");
  CAPTURE(value);
  CHECK_FALSE(is_clear({{"Transfer-Encoding", value}}));
  CHECK_FALSE(is_clear({{"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}}));
  CHECK_FALSE(is_clear({{"Transfer-Encoding", "chunked"}, {"Content-Length", "3"}}));
}

TEST_CASE("is_final_status: three digits, from 200", "[http.framing]") {
  for (const int status : {200, 204, 304, 429, 599, 999}) CHECK(latchkey::is_final_status(status));
  for (const int status : {-200, 0, 99, 100, 101, 103, 199, 1000, 20000})
    CHECK_FALSE(latchkey::is_final_status(status));
}

TEST_CASE("byte_budget: is more than the caps, and does not overflow", "[http.framing]") {
  const latchkey::SendOptions usual;
  CHECK(latchkey::byte_budget(usual) > usual.max_body + usual.max_headers);
  latchkey::SendOptions huge;
  huge.max_body = huge.max_headers = std::numeric_limits<std::size_t>::max();
  CHECK(latchkey::byte_budget(huge) > std::numeric_limits<std::size_t>::max() / 4);
}
