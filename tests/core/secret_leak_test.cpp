// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <string>
#include <utility>

import latchkey.core;
import latchkey.test.marker;
import latchkey.test.support;

// Secrets are nowhere in this process's memory once they are gone.

using namespace latchkey;
using namespace latchkey::test;

TEST_CASE("secret leak: the search finds a secret that is alive", "[secret]") {
  const Marker marker;
  REQUIRE_FALSE(marker.is_in_memory());
  const auto secret = marker.secret();
  CHECK(marker.is_in_memory());
}

TEST_CASE("secret leak: the search finds what a std::string leaves behind", "[secret]") {
  const Marker marker;
  {
    const auto secret = marker.secret();
    const SecretString text{secret.clone()};
    const auto leaker = std::make_unique<std::string>(text.expose());
    CHECK(leaker->size() == secret.size());
  }
  CHECK(marker.is_in_memory());  // freed, and still there
}

TEST_CASE("secret leak: nothing is left after a secret is destroyed", "[secret]") {
  const Marker marker;
  {
    const auto secret = marker.secret();
  }
  CHECK_FALSE(marker.is_in_memory());
}

TEST_CASE("secret leak: nothing is left after moves, clones, assignment and truncation",
          "[secret]") {
  const Marker marker;
  {
    SecretString first{marker.secret()};
    SecretString second = std::move(first);
    SecretString third = second.clone();
    third = SecretString("short");
    second = std::move(third);
    CHECK(second.expose() == "short");
    auto cut = marker.secret();
    cut.truncate(1);
  }
  CHECK_FALSE(marker.is_in_memory());
}

TEST_CASE("secret leak: nothing is left of a builder that grew", "[secret]") {
  const Marker marker;
  {
    const auto secret = marker.secret();
    SecretBuilder builder(1);
    for (const unsigned char byte : secret.expose()) builder.append(static_cast<char>(byte));
    for (int i = 0; i < 1000; ++i) builder.append("more");
    const auto text = std::move(builder).finish();
    CHECK(text.size() == secret.size() + 4000);
  }
  CHECK_FALSE(marker.is_in_memory());
}

TEST_CASE("secret leak: nothing is left of a form", "[secret]") {
  const Marker marker;
  {
    const SecretString secret{marker.secret()};
    SecretForm form;
    form.add("grant_type", "refresh_token").add("refresh_token", secret.expose());
    const auto body = std::move(form).finish();
    CHECK(body.size() > secret.size());
  }
  CHECK_FALSE(marker.is_in_memory());
}

TEST_CASE("secret leak: nothing is left after decoding base64url", "[secret]") {
  const Marker marker;
  {
    const auto secret = marker.secret();
    const auto text = base64url_encode_secret(secret.expose());
    const auto back = base64url_decode_secret(text.expose());
    REQUIRE(back.has_value());
    CHECK(*back == secret);
  }
  CHECK_FALSE(marker.is_in_memory());
}

TEST_CASE("secret leak: nothing is left after a file was written and read", "[secret]") {
  const Marker marker;
  const TemporaryFolder folder;
  const auto files = posix_file_system();
  {
    const auto secret = marker.secret();
    REQUIRE(outcome(replace_file(files, folder.path() / "key", secret.expose())) == "ok");
    const auto back = files->read(folder.path() / "key", 4096);
    REQUIRE(outcome(back) == "ok");
    CHECK(**back == secret);
  }
  CHECK_FALSE(marker.is_in_memory());
}
