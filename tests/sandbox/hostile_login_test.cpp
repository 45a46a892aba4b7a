// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.atproto.client;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.curl;
import latchkey.http.policy;
import latchkey.sandbox;
import latchkey.session;
import latchkey.test.hostile_world;
import latchkey.test.outcome;
import latchkey.test.sandbox_world;

using namespace latchkey;
using namespace latchkey::test;
using sandbox::Document;
using sandbox::FaultKind;

namespace {

const std::vector<Refused> kBeforeTokens{
    {"par.status_500", "provider_error par.server_error"},
    {"par.redirect", "invalid_response par.status"},
    {"par.redirect_elsewhere", "invalid_response par.status"},
    {"par.content_type_html", "invalid_response par.content_type"},
    {"par.content_type_missing", "invalid_response par.content_type"},
    {"par.empty", "invalid_response par.not_json"},
    {"par.not_json", "invalid_response par.not_json"},
    {"par.array", "invalid_response par.not_json"},
    {"par.null", "invalid_response par.not_json"},
    {"par.comment", "invalid_response par.not_json"},
    {"par.byte_order_mark", "invalid_response par.not_json"},
    {"par.text_after", "invalid_response par.not_json"},
    {"par.not_utf8", "invalid_response par.not_json"},
    {"par.nested", "invalid_response par.not_json"},
    {"par.huge", "response_too_large http.body_too_large"},
    {"par.request_uri_missing", "invalid_response par.missing_member"},
    {"par.request_uri_twice", "invalid_response par.duplicate_member"},
    {"par.request_uri_empty", "invalid_response par.missing_member"},
    {"par.request_uri_number", "invalid_response par.wrong_type"},
    {"par.request_uri_line_break", "invalid_response par.request_uri"},
    {"par.expired", "invalid_response par.expires_in"},
    {"par.expires_in_text", "invalid_response par.wrong_type"},
    {"callback.state_missing", "callback_invalid callback.pasted_other"},
    {"callback.state_other", "callback_invalid callback.pasted_other"},
    {"callback.state_twice", "callback_invalid callback.pasted_other"},
    {"callback.iss_missing", "callback_invalid callback.iss_missing"},
    {"callback.iss_twice", "callback_invalid callback.malformed"},
    {"callback.iss_other", "callback_invalid callback.iss_mismatch"},
    {"callback.iss_slash", "callback_invalid callback.iss_mismatch"},
    {"callback.code_missing", "callback_invalid callback.code_missing"},
    {"callback.code_empty", "callback_invalid callback.code_missing"},
    {"callback.code_twice", "callback_invalid callback.malformed"},
    {"callback.code_space", "callback_invalid callback.malformed"},
    {"callback.signed_response", "callback_invalid callback.jarm"},
    {"callback.error_beside_code", "provider_error callback.error"},
};

// Tokens were issued and could be read: they are revoked.
const std::vector<Refused> kRevoked{
    {"token.access_token_missing", "invalid_response token.missing_member"},
    {"token.access_token_empty", "invalid_response token.bad_token"},
    {"token.access_token_number", "invalid_response token.wrong_type"},
    {"token.access_token_line_break", "invalid_response token.bad_token"},
    {"token.refresh_token_null", "invalid_response token.wrong_type"},
    {"token.token_type_missing", "invalid_response token.missing_member"},
    {"token.token_type_bearer", "token_invalid token.type"},
    {"token.token_type_unknown", "token_invalid token.type"},
    {"token.sub_missing", "token_invalid token.sub_missing"},
    {"token.sub_number", "invalid_response token.wrong_type"},
    {"token.sub_handle", "token_invalid token.sub_malformed"},
    {"token.sub_other", "token_invalid token.sub_mismatch"},
    {"token.scope_missing", "token_invalid token.scope_missing"},
    {"token.scope_empty", "token_invalid token.scope_missing"},
    {"token.scope_list", "invalid_response token.wrong_type"},
    {"token.scope_without_atproto", "token_invalid token.scope_without_atproto"},
    {"token.expires_in_zero", "invalid_response token.expires_in"},
    {"token.expires_in_negative", "invalid_response token.expires_in"},
    {"token.expires_in_text", "invalid_response token.wrong_type"},
    {"token.expires_in_two_days", "token_invalid token.expires_in"},
    {"token.expires_in_immense", "invalid_response token.expires_in"},
    {"token.id_token", "token_invalid token.unexpected_id_token"},
};

// Strange, and no reason to throw tokens away that will not be given again.
const std::set<std::string> kTaken{"token.content_type_html", "token.content_type_missing"};

// Nobody can tell what was issued.
const std::vector<Refused> kUnreadable{
    {"token.status_500", "provider_error token.server_error"},
    {"token.redirect", "invalid_response token.status"},
    {"token.redirect_elsewhere", "invalid_response token.status"},
    {"token.empty", "invalid_response token.not_json"},
    {"token.not_json", "invalid_response token.not_json"},
    {"token.array", "invalid_response token.not_json"},
    {"token.null", "invalid_response token.not_json"},
    {"token.comment", "invalid_response token.not_json"},
    {"token.byte_order_mark", "invalid_response token.not_json"},
    {"token.text_after", "invalid_response token.not_json"},
    {"token.not_utf8", "invalid_response token.not_json"},
    {"token.nested", "invalid_response token.not_json"},
    {"token.huge", "response_too_large http.body_too_large"},
    {"token.access_token_twice", "invalid_response token.duplicate_member"},
};

const std::vector<Refused> kHandleFiles{
    {"handle_file.status_500", "invalid_response handle.status"},
    {"handle_file.redirect", "invalid_response handle.status"},
    {"handle_file.empty", "invalid_response handle.not_a_did"},
    {"handle_file.html", "invalid_response handle.not_a_did"},
    {"handle_file.record_form", "invalid_response handle.not_a_did"},
    {"handle_file.json", "invalid_response handle.not_a_did"},
    {"handle_file.byte_order_mark", "invalid_response handle.not_a_did"},
    {"handle_file.unknown", "identity_not_found did.not_found"},
    {"handle_file.huge", "response_too_large http.body_too_large"},
};

/// Takes the PDS for every https server, for nobody has a certificate for .test.
class HandleFiles final : public HttpTransport {
 public:
  explicit HandleFiles(std::string pds)
      : pds_(Url::parse(pds).value()),
        inner_(CurlTransport::open({.address_rule = AddressRule::any,
                                    .http_rule = HttpRule::allow_http_for_loopback})
                   .value()) {}
  Result<HttpResponse> send(const HttpRequest& request, const SendOptions& options) override {
    if (request.url.origin() != "https://alice.test") return inner_->send(request, options);
    return inner_->send(
        {.method = request.method, .url = pds_.with_target(request.url.target()).value()}, options);
  }

 private:
  Url pds_;
  std::unique_ptr<HttpTransport> inner_;
};

}  // namespace

TEST_CASE("C4, C5: a hostile answer before the tokens ends the login there", "[sandbox]") {
  SandboxWorld world;
  for (const auto& [name, expected] : kBeforeTokens) {
    INFO(name);
    meet(world, name);
    CHECK(outcome(world.log_in_by_paste("alice.test")) == expected);
    CHECK(was_last(world, name));
    CHECK(world.servers->counts().logins == 0);
  }
}

TEST_CASE("C5.11: tokens in a hostile answer are revoked", "[sandbox]") {
  SandboxWorld world;
  for (const auto& [name, expected] : kRevoked) {
    INFO(name);
    meet(world, name);
    CHECK(outcome(world.log_in_by_paste("alice.test")) == expected);
    CHECK(world.servers->requests().back().path == "/oauth/revoke");
    CHECK(world.servers->live_sessions("alice.test") == 0);
    CHECK_FALSE(world.store->load(world.alice.did).value().has_value());
  }
}

TEST_CASE("tokens are taken from an answer of another content type", "[sandbox]") {
  for (const auto& name : kTaken) {
    INFO(name);
    SandboxWorld world;
    meet(world, name);
    CHECK(outcome(world.log_in_by_paste("alice.test")) == "ok");
    world.expire();
    meet(world, name);
    CHECK(outcome(world.client.fresh(world.alice.did)) == "ok");
    CHECK(world.servers->counts().refreshes == 1);
    CHECK(world.servers->live_sessions("alice.test") == 1);
  }
}

TEST_CASE("C5: a token answer that nobody can read is refused", "[sandbox]") {
  SandboxWorld world;
  for (const auto& [name, expected] : kUnreadable) {
    INFO(name);
    meet(world, name);
    CHECK(outcome(world.log_in_by_paste("alice.test")) == expected);
    CHECK(was_last(world, name));
    CHECK_FALSE(world.store->load(world.alice.did).value().has_value());
  }
}

TEST_CASE("C4, C5: the tables of hostile answers are complete", "[sandbox]") {
  auto names = names_of(kBeforeTokens);
  names.merge(names_of(kRevoked));
  names.merge(names_of(kUnreadable));
  names.insert(kTaken.begin(), kTaken.end());
  names.merge(names_of(kHandleFiles));
  CHECK(names ==
        forms_of({Document::par, Document::callback, Document::token, Document::handle_file}));
}

TEST_CASE("C5.8: a server may not issue tokens for accounts that are not its own", "[sandbox]") {
  SandboxWorld world;
  meet(world, "token.sub_other");
  CHECK(outcome(world.log_in_by_paste(world.servers->pds())) == "identity_not_found did.not_found");
  CHECK(world.servers->live_sessions("alice.test") == 0);
}

TEST_CASE("C2.2: every hostile handle file is refused", "[sandbox]") {
  SandboxWorld world;
  auto client =
      AtprotoClient::create({.client = loopback_client(kScope),
                             .store = world.store,
                             .vault = world.vault,
                             .plc_url = world.servers->plc(),
                             .http_rule = HttpRule::allow_http_for_loopback,
                             .strangers = std::make_shared<HandleFiles>(world.servers->pds()),
                             .clock = world.clock})
          .value();
  for (const auto& [name, expected] : kHandleFiles) {
    INFO(name);
    meet(world, name);
    CHECK(outcome(client.login("alice.test", {.open_browser = false})) == expected);
    CHECK((was_last(world, name) || name == "handle_file.unknown"));
  }
}

TEST_CASE("C7: a hostile answer to a refresh is not adopted, and its outcome stays unknown",
          "[sandbox]") {
  for (const auto& name : forms_of({Document::token})) {
    if (kTaken.contains(name)) continue;
    INFO(name);
    SandboxWorld world;
    REQUIRE(outcome(world.log_in_by_paste("alice.test")) == "ok");
    const auto before = world.store->load(world.alice.did).value()->revision;
    world.expire();
    meet(world, name);
    CHECK_FALSE(world.client.fresh(world.alice.did));
    CHECK(world.store->load(world.alice.did).value()->revision == before);
    world.servers->clear_faults();
    world.clock->advance(std::chrono::minutes{1});
    CHECK(outcome(world.client.fresh(world.alice.did)) ==
          "refresh_interrupted refresh.interrupted");
  }
}
