// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>
module latchkey.test.rules;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.record;
import latchkey.test.conformance;

namespace latchkey::test {

void expect(bool holds, std::string_view what) {
  if (!holds) throw Broken{std::string(what)};
}

void expect_error(const Error* error, ErrorCode code, std::string_view what) {
  const auto wanted = std::string(what) + ": expected " + std::string(to_string(code));
  if (error == nullptr) throw Broken{wanted + ", got none"};
  if (error->code == code) return;
  throw Broken{wanted + ", got " + std::string(to_string(error->code)) + " (" + error->detail +
               ')'};
}

void fail(std::string_view what, const Error& error) {
  throw Broken{std::string(what) + ": " + error.detail + ", " + error.message};
}

Store open(StorePlace& place) {
  return need(place.open(), "opening the store");
}

SealedRecord record_of(std::string_view subject, std::uint64_t revision) {
  using std::chrono::milliseconds;
  const TimePoint begun{milliseconds{1'790'000'000'123}};
  SealedRecord record;
  auto& s = record.summary;
  s.subject = subject;
  s.issuer = "https://issuer.example";
  s.resource_server = "https://pds.example";
  s.token_endpoint = "https://issuer.example/token?a=\"b\"&c=\\d";
  s.revocation_endpoint = "https://issuer.example/revoke";
  s.par_endpoint = "";
  s.client_id = "https://client.example/client-metadata.json";
  s.client_auth_method = ClientAuthMethod::private_key_jwt;
  s.client_auth_kid = "kid-1";
  s.redirect_uri = "http://127.0.0.1/callback";
  s.scope = "atproto transition:generic";
  s.token_type = "DPoP";
  s.dpop_jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
  s.handle = "\xC3\xA4\xE2\x82\xAC.example";
  s.issued_at = begun + milliseconds(revision % 1000);
  s.expires_at = begun + std::chrono::hours(1);
  s.session_started_at = begun;
  s.login_id = 0xFFFF'FFFF'FFFF'FFFE;  // more than a signed number holds
  s.revision = {revision};
  s.state = SessionState::dead;
  s.state_cause = "token.revoked";
  s.state_changed_at = begun;
  // Every byte value, and text that could end a member of JSON.
  for (int byte = 0; byte < 256; ++byte) record.box.push_back(static_cast<unsigned char>(byte));
  for (const char c : ",\"box\":\"" + std::to_string(revision) + "\"}") {
    record.box.push_back(static_cast<unsigned char>(c));
  }
  return record;
}

Result<void> put(OAuthTokenStore& store, std::string_view subject, std::uint64_t revision,
                 Revision expected) {
  return store.save_record(record_of(subject, revision), expected);
}

std::uint64_t stored(OAuthTokenStore& store, std::string_view subject) {
  const auto record = need(store.load_record(subject), "loading a record");
  return record ? record->summary.revision.value : 0;
}

LockWait patiently(StorePlace& place) {
  return {.deadline = place.clock()->steady_now() + std::chrono::minutes(1)};
}

LockWait briefly(StorePlace& place) {
  return {.deadline = place.clock()->steady_now() + std::chrono::milliseconds(20)};
}

void on_threads(int count, const std::function<void(int)>& work) {
  std::mutex mutex;
  std::exception_ptr first;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < count; ++i) {
      threads.emplace_back([&, i] {
        try {
          work(i);
        } catch (...) {
          const std::lock_guard guard(mutex);
          if (!first) first = std::current_exception();
        }
      });
    }
  }
  if (first) std::rethrow_exception(first);
}

}  // namespace latchkey::test
