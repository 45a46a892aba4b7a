// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <set>
#include <string>
#include <string_view>

import latchkey.core.time;
import latchkey.store.file_names;

using namespace latchkey;

TEST_CASE("session_file_name: is a readable prefix and a digest", "[store]") {
  // The digest is what sha256sum says.
  CHECK(session_file_name("did:plc:alice") ==
        "didplcalice-" +
            std::string("a304c5c525080ebfa7b6205c6c31508ce8f769fc129576e170dcb27172ff6fb4") +
            ".json");
}

TEST_CASE("session_file_name: differs for subjects that differ only in case or in what is left out",
          "[store]") {
  const std::set<std::string> names{
      session_file_name("did:web:a:b"), session_file_name("did:web:a_b"),
      session_file_name("did:web:ab"), session_file_name("did:web:A:b"),
      session_file_name("didweb:ab")};
  CHECK(names.size() == 5);
  for (const auto& name : names) CHECK(name.starts_with("didwebab-"));
}

TEST_CASE("session_file_name: is short, lower-case and never hidden or a path", "[store]") {
  for (const auto& subject :
       {std::string(2048, 'X'), std::string("../../etc/passwd"), std::string("."),
        std::string(".latchkey-tmp-"), std::string("\xF0\x9F\x94\x91"), std::string("/")}) {
    const auto name = session_file_name(subject);
    INFO(name);
    CHECK(name.size() <= 255);
    CHECK(name.front() != '.');
    CHECK(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-") == std::string::npos);
    CHECK(is_session_file_name(name));
  }
}

TEST_CASE("is_session_file_name: refuses what session_file_name never makes", "[store]") {
  const std::string digest(64, 'a');
  CHECK(is_session_file_name("x-" + digest + ".json"));
  CHECK(!is_session_file_name(""));
  CHECK(!is_session_file_name("notes.json"));
  CHECK(!is_session_file_name(digest + ".json"));
  CHECK(!is_session_file_name("x-" + digest + ".json.bak"));
  CHECK(!is_session_file_name("x-" + std::string(64, 'A') + ".json"));
  CHECK(!is_session_file_name(std::string(100, 'x') + '-' + digest + ".json"));
}

TEST_CASE("pending_file_name: is parsed back, and nothing else is", "[store]") {
  const PendingName name{std::string(64, '0'), TimePoint(Duration(1'790'000'000'123))};
  const auto parsed = parse_pending_file_name(pending_file_name(name));
  REQUIRE(parsed);
  CHECK(parsed->digest == name.digest);
  CHECK(parsed->expires_at == name.expires_at);
  for (const auto& bad :
       {std::string(), "-" + name.digest + ".json", "1x-" + name.digest + ".json",
        "-1-" + name.digest + ".json", "99999999999999999999-" + name.digest + ".json",
        "1-" + name.digest, std::string("1-abc.json")}) {
    INFO(bad);
    CHECK(!parse_pending_file_name(bad));
  }
}
