// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.session;
import latchkey.store.record;
import latchkey.store.vault;
import latchkey.test.sample;
import latchkey.test.support;

using namespace latchkey;
using test::outcome;

namespace {

std::shared_ptr<Sealer> some_sealer() {
  return memory_vault()->sealer();
}

// A box of tokens that was sealed for the sample summary.
std::string unsealed_outcome(std::string_view tokens) {
  const auto sealer = some_sealer();
  const auto summary = test::sample_summary();
  const SealedRecord record{summary,
                            sealer->seal(as_bytes(tokens), canonical_summary(summary)).value()};
  return outcome(unseal_session(record, *sealer));
}

std::string seal_outcome(const OAuthSession& session) {
  return outcome(seal_session(session, *some_sealer()));
}

}  // namespace

TEST_CASE("canonical_summary: changing any one member changes it", "[record]") {
  std::set<std::string> seen{canonical_summary(test::sample_summary())};
  for (const auto& change : test::member_changes()) {
    INFO(change.member);
    auto summary = test::sample_summary();
    change.apply(summary);
    CHECK(seen.insert(canonical_summary(summary)).second);
  }
}

TEST_CASE("canonical_summary: bytes moved between neighbours do not collide", "[record]") {
  const std::vector<std::string SessionSummary::*> fields{&SessionSummary::subject,
                                                          &SessionSummary::issuer,
                                                          &SessionSummary::resource_server,
                                                          &SessionSummary::token_endpoint,
                                                          &SessionSummary::revocation_endpoint,
                                                          &SessionSummary::par_endpoint,
                                                          &SessionSummary::client_id,
                                                          &SessionSummary::client_auth_kid,
                                                          &SessionSummary::redirect_uri,
                                                          &SessionSummary::scope,
                                                          &SessionSummary::token_type,
                                                          &SessionSummary::dpop_jkt,
                                                          &SessionSummary::handle,
                                                          &SessionSummary::state_cause};
  // Contents that look like the encoding itself are the hard case.
  for (const std::string& text :
       {std::string("ab"), std::string("\1\0\0\0\0", 5), std::string("\1\0\0\0\1\1\0\0\0\1", 10)}) {
    for (std::size_t i = 0; i + 1 < fields.size(); ++i) {
      std::set<std::string> seen;
      for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        auto summary = test::sample_summary();
        summary.*fields[i] = text.substr(0, cut);
        summary.*fields[i + 1] = text.substr(cut);
        CHECK(seen.insert(canonical_summary(summary)).second);
      }
    }
  }
}

TEST_CASE("canonical_summary: an absent time differs from every present one", "[record]") {
  auto absent = test::sample_summary(), zero = absent;
  absent.expires_at = std::nullopt;
  zero.expires_at = TimePoint{};
  CHECK(canonical_summary(absent) != canonical_summary(zero));
  auto shifted = absent;
  shifted.expires_at = shifted.refresh_expires_at;
  shifted.refresh_expires_at = std::nullopt;
  CHECK(canonical_summary(absent) != canonical_summary(shifted));
}

TEST_CASE("seal_session: a session survives sealing, whatever tokens it has", "[record]") {
  const auto sealer = some_sealer();
  for (int present = 0; present < 4; ++present) {
    auto session = test::sample_session();
    if ((present & 1) == 0) session.refresh_token = std::nullopt;
    if ((present & 2) == 0) session.id_token = std::nullopt;
    const auto record = seal_session(session, *sealer).value();
    CHECK(record.summary == test::sample_summary());
    const auto back = unseal_session(record, *sealer).value();
    CHECK(static_cast<const SessionSummary&>(back) == test::sample_summary());
    CHECK(back.access_token == session.access_token);
    CHECK(back.refresh_token == session.refresh_token);
    CHECK(back.id_token == session.id_token);
  }
}

TEST_CASE("seal_session: empty tokens and tokens with any byte survive", "[record]") {
  const auto sealer = some_sealer();
  auto session = test::sample_session();
  session.access_token = SecretString("");
  session.refresh_token = SecretString(std::string("\0\xFF\n", 3));
  const auto back = unseal_session(seal_session(session, *sealer).value(), *sealer).value();
  CHECK(back.access_token.empty());
  CHECK(back.refresh_token == session.refresh_token);
}

TEST_CASE("seal_session: no token is readable in the box, and no two boxes are alike", "[record]") {
  const auto sealer = some_sealer();
  const auto first = seal_session(test::sample_session(), *sealer).value();
  const auto second = seal_session(test::sample_session(), *sealer).value();
  CHECK(as_text(first.box).find("token") == std::string_view::npos);
  CHECK(first.box != second.box);
}

TEST_CASE("unseal_session: any edited member of the clear part is noticed", "[record]") {
  const auto sealer = some_sealer();
  const auto record = seal_session(test::sample_session(), *sealer).value();
  for (const auto& change : test::member_changes()) {
    INFO(change.member);
    auto edited = record;
    change.apply(edited.summary);
    CHECK(outcome(unseal_session(edited, *sealer)) == "corrupt box.altered");
  }
}

TEST_CASE("unseal_session: boxes swapped between two sessions are noticed", "[record]") {
  const auto sealer = some_sealer();
  auto other = test::sample_session();
  other.subject = "did:plc:bob";
  auto first = seal_session(test::sample_session(), *sealer).value();
  auto second = seal_session(other, *sealer).value();
  std::swap(first.box, second.box);
  CHECK(outcome(unseal_session(first, *sealer)) == "corrupt box.altered");
  CHECK(outcome(unseal_session(second, *sealer)) == "corrupt box.altered");
}

TEST_CASE("unseal_session: another vault's session is a wrong key, not corrupt", "[record]") {
  const auto record = seal_session(test::sample_session(), *some_sealer()).value();
  CHECK(outcome(unseal_session(record, *some_sealer())) == "wrong_key box.unknown_key");
}

TEST_CASE("unseal_session: a box that holds no tokens is malformed", "[record]") {
  const std::string malformed = "corrupt record.malformed";
  const std::string good("\1\1\0\0\0\1a\0\0", 9);
  CHECK(unsealed_outcome(good) == "ok");
  for (std::size_t size = 0; size < good.size(); ++size) {
    CHECK(unsealed_outcome(good.substr(0, size)) == malformed);
  }
  CHECK(unsealed_outcome(good + '\0') == malformed);
  CHECK(unsealed_outcome(std::string("\1\0\0\0", 4)) == malformed);           // no access token
  CHECK(unsealed_outcome(std::string("\1\2\0\0\0\1a\0\0", 9)) == malformed);  // presence 2
  CHECK(unsealed_outcome(std::string("\1\1\xFF\xFF\xFF\xFF\1a\0\0", 10)) == malformed);
  CHECK(unsealed_outcome(std::string("\0\1\0\0\0\1a\0\0", 9)) == malformed);  // version 0
  CHECK(unsealed_outcome(std::string("\2anything")) == "schema_too_new record.version");
}

TEST_CASE("seal_session: refuses what could not be read back", "[record]") {
  auto session = test::sample_session();
  session.subject.clear();
  CHECK(seal_outcome(session) == "invalid_argument subject.invalid");
  session = test::sample_session();
  session.scope = "\xFF";
  CHECK(seal_outcome(session) == "invalid_argument record.text");
  session = test::sample_session();
  session.expires_at = TimePoint::max();
  CHECK(seal_outcome(session) == "invalid_argument record.time_range");
  session = test::sample_session();
  session.access_token = SecretString(std::string(kMaxBoxSize, 'x'));
  CHECK(seal_outcome(session) == "invalid_argument record.too_large");
}

TEST_CASE("seal_session: the first and the last writable millisecond survive as JSON", "[record]") {
  const auto sealer = some_sealer();
  const auto first = parse_rfc3339("0000-01-01T00:00:00Z").value();
  const auto last = parse_rfc3339("9999-12-31T23:59:59.999Z").value();
  auto session = test::sample_session();
  session.issued_at = first;
  session.expires_at = last;
  session.refresh_expires_at = kMalformedTime;
  auto record = seal_session(session, *sealer).value();
  record.summary = summary_from_json(summary_to_json(record.summary)).value();
  CHECK(outcome(unseal_session(record, *sealer)) == "ok");
  session.issued_at = first - Duration{1};
  CHECK(seal_outcome(session) == "invalid_argument record.time_range");
  session.issued_at = last + Duration{1};
  CHECK(seal_outcome(session) == "invalid_argument record.time_range");
}

TEST_CASE("unseal_session: a box over the limit is corrupt before it is opened", "[record]") {
  const SealedRecord record{test::sample_summary(), Bytes(kMaxBoxSize + 1, 1)};
  CHECK(outcome(unseal_session(record, *some_sealer())) == "corrupt record.too_large");
}

TEST_CASE("store_sessions_unsealed: keeps sessions readable, and mixes with no sealer",
          "[record]") {
  const auto open = store_sessions_unsealed();
  const auto sealed = some_sealer();
  const auto clear = seal_session(test::sample_session(), *open).value();
  CHECK(as_text(clear.box).find("refresh-token") != std::string_view::npos);
  CHECK(outcome(unseal_session(clear, *open)) == "ok");
  CHECK(outcome(unseal_session(clear, *sealed)) == "wrong_key box.unsealed");
  const auto closed = seal_session(test::sample_session(), *sealed).value();
  CHECK(outcome(unseal_session(closed, *open)) == "wrong_key box.sealed");
  CHECK(outcome(open->open(Bytes{}, "")) == "corrupt box.truncated");
}

TEST_CASE("check_subject: 1 to 2048 bytes of UTF-8 without control characters", "[record]") {
  const std::string bad = "invalid_argument subject.invalid";
  CHECK(outcome(check_subject("did:web:example.com")) == "ok");
  CHECK(outcome(check_subject("https://id.example|\xC3\xA9")) == "ok");
  CHECK(outcome(check_subject(std::string(2048, 'a'))) == "ok");
  CHECK(outcome(check_subject(std::string(2049, 'a'))) == bad);
  for (const std::string& text : {std::string(), std::string("a\nb"), std::string("a\0b", 3),
                                  std::string("\x7f"), std::string("\xC3")}) {
    CHECK(outcome(check_subject(text)) == bad);
  }
}
