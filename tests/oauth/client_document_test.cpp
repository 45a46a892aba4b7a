// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.core.json;
import latchkey.http;
import latchkey.oauth.client_document;
import latchkey.oauth.client_hosting;
import latchkey.oauth.client_keys;
import latchkey.oauth.client_lint;
import latchkey.test.oauth;
import latchkey.test.outcome;
import latchkey.test.scripted_transport;

using namespace latchkey;
using namespace latchkey::test;

namespace {

constexpr std::string_view kClient = "https://app.example.com/client.json";

ClientDocument web_client() {
  return {.client_id = std::string(kClient),
          .redirect_uris = {"https://app.example.com/callback", "https://app.example.com/other"},
          .scope = "atproto transition:generic",
          .client_name = "Ex\"ample"};
}

std::string ids_of(const std::vector<ClientFinding>& findings) {
  std::string ids;
  for (const auto& finding : findings) ids += (ids.empty() ? "" : " ") + finding.id;
  return ids;
}

HttpResponse served(std::string_view body, std::string_view type = "application/json") {
  return typed_answer(200, body, type);
}

std::string judged(const HttpResponse& response) {
  return ids_of(judge_hosted_copy(kClient, response).findings);
}

}  // namespace

TEST_CASE("ClientDocument: what is built is read back the same", "[client]") {
  auto document = web_client();
  document.client_uri = "https://app.example.com";
  document.logo_uri = "https://app.example.com/logo.png";
  document.tos_uri = "https://app.example.com/tos";
  document.policy_uri = "https://app.example.com/policy";
  CHECK(parse_client_document(build_client_document(document)).value() == document);
  document.application_type = "native";
  document.dpop_bound_access_tokens = false;
  document.jwks_uri = "https://app.example.com/jwks.json";
  CHECK(parse_client_document(build_client_document(document)).value() == document);
}

TEST_CASE("C1.5 to C1.9: a document built from the fewest members keeps the rules", "[client]") {
  CHECK(ids_of(lint_client_document(
                   build_client_document({.client_id = std::string(kClient),
                                          .redirect_uris = {"https://app.example.com/callback"}})))
            .empty());
}

TEST_CASE("C1.8: a document with published keys keeps the rules, and names the kids", "[client]") {
  const auto names = [](const ClientDocument& document, const ClientKeys& keys) {
    const auto published = published_keys(document);
    REQUIRE(published);
    REQUIRE(published->size() == 1);
    CHECK(published->front().kid == keys.newest());
    CHECK(published->front().thumbprint == keys.thumbprints().front());
  };
  const auto keys = ClientKeys::generate(std::make_shared<SystemRandom>()).value();
  auto document = web_client();
  CHECK_FALSE(published_keys(document));
  document.jwks_uri = "https://app.example.com/jwks.json";
  publish_keys(document, *keys);
  CHECK(ids_of(lint_client_document(build_client_document(document))).empty());
  names(document, *keys);
  const auto again = parse_client_document(build_client_document(document)).value();
  names(again, *keys);
}

TEST_CASE("ClientDocument: absent members have the values that servers take", "[client]") {
  const auto document = parse_client_document(R"({"client_id":"x","more":[1]})").value();
  CHECK(document.token_endpoint_auth_method == "client_secret_basic");
  CHECK(document.grant_types == std::vector<std::string>{"authorization_code"});
  CHECK(document.application_type == "web");
  CHECK(document.scope.empty());
  CHECK_FALSE(document.dpop_bound_access_tokens);
}

TEST_CASE("ClientDocument: text that is no document is refused", "[client]") {
  const auto of = [](std::string_view text) { return outcome(parse_client_document(text)); };
  CHECK(of("") == "invalid_metadata client_document.not_json");
  CHECK(of("[]") == "invalid_metadata client_document.not_json");
  CHECK(of("{}") == "invalid_metadata client_document.missing_member");
  CHECK(of(R"({"client_id":""})") == "invalid_metadata client_document.missing_member");
  CHECK(of(R"({"client_id":"a","client_id":"b"})") ==
        "invalid_metadata client_document.duplicate_member");
  CHECK(of(R"({"client_id":"a","scope":[]})") == "invalid_metadata client_document.wrong_type");
  CHECK(of(R"({"client_id":"a","jwks":"x"})") == "invalid_metadata client_document.wrong_type");
  CHECK(of(R"({"client_id":"a","redirect_uris":"x"})") ==
        "invalid_metadata client_document.wrong_type");
}

TEST_CASE("C1.4: a copy served as servers want it has no findings", "[client]") {
  const auto text = build_client_document(web_client());
  CHECK(judged(served(text)).empty());
  CHECK(judged(served(text, "application/json; charset=utf-8")).empty());
  CHECK(judge_hosted_copy(kClient, served(text)).text == text);
}

TEST_CASE("C1.4: table of answers that servers refuse", "[client]") {
  const auto text = build_client_document(web_client());
  CHECK(judged(typed_answer(404, text)) == "C1.4.status");
  CHECK(judged(typed_answer(201, text)) == "C1.4.status");
  CHECK(judged(typed_answer(204, "")) == "C1.4.status");
  CHECK(judged(typed_answer(500, text)) == "C1.4.status");
  CHECK(judged(typed_answer(301, text)) == "C1.4.redirected");
  CHECK(judged(typed_answer(304, text)) == "C1.4.redirected");
  CHECK(judged(served(text, "text/html")) == "C1.4.content_type");
  CHECK(judged(served(text, "application/did+json")) == "C1.4.content_type");
  CHECK(judged(served(text, "")) == "C1.4.content_type");
  CHECK(judged(served("<html>", "text/html")) == "C1.4.content_type C1.4.not_json");
  CHECK(judged(served("")) == "C1.4.not_json");
  CHECK(judged(served("{}")) == "C1.4.client_id");
  for (const char* other :
       {"https://app.example.com/client.json/", "https://App.example.com/client.json",
        "https://app.example.com:443/client.json", "https://app.example.com/client.json?"}) {
    auto document = web_client();
    document.client_id = other;
    CHECK(judged(served(build_client_document(document))) == "C1.4.client_id");
  }
}

TEST_CASE("C1.4: the copy is fetched by its URL alone, and JSON is asked for", "[client]") {
  ScriptedTransport strangers;
  strangers.push(json_answer(200, build_client_document(web_client())));
  CHECK(fetch_hosted_copy(strangers, kClient).value().findings.empty());
  const auto requests = strangers.requests();
  REQUIRE(requests.size() == 1);
  CHECK(requests[0].url.text() == kClient);
  CHECK(*requests[0].headers.find("Accept") == "application/json");
  CHECK_FALSE(requests[0].authorization);
  CHECK(outcome(fetch_hosted_copy(strangers, "client")) == "invalid_url url.malformed");
  CHECK(outcome(fetch_hosted_copy(strangers, kClient)) == "unreachable scripted.unexpected");
}

TEST_CASE("C1.4: a hosted copy that differs is compared member by member", "[client]") {
  const auto keys = ClientKeys::generate(std::make_shared<SystemRandom>()).value();
  auto own = web_client();
  publish_keys(own, *keys);
  const auto compared = [&](const ClientDocument& hosted) {
    std::string out;
    for (const auto& finding :
         compare_documents(build_client_document(own), build_client_document(hosted))) {
      CHECK(finding.id == "C1.4.differs");
      out += finding.message + "; ";
    }
    return out;
  };
  CHECK(compared(own).empty());
  auto other = own;
  std::swap(other.redirect_uris[0], other.redirect_uris[1]);
  CHECK(compared(other).empty());
  other.scope = "atproto";
  other.client_name.clear();
  other.logo_uri = "https://app.example.com/logo.png";
  CHECK(compared(other) ==
        "client_name is missing from the hosted document; "
        "logo_uri is in the hosted document only; scope is another in the hosted document; ");
  other = own;
  REQUIRE(keys->add_new());
  publish_keys(own, *keys);
  CHECK(compared(other) == "jwks is another in the hosted document; ");
}

TEST_CASE("C1.4: keys are compared by what they are, not by how they are written", "[client]") {
  const auto written = [](std::string_view key) {
    return R"({"jwks":{"keys":[)" + std::string(key) + "]}}";
  };
  const std::string one = written(R"({"kid":"a","kty":"EC","crv":"P-256","x":"AA","y":"AA"})");
  CHECK(compare_documents(
            one, written(R"({"y":"AA","x":"AA","crv":"P-256","kty":"EC","use":"sig","kid":"a"})"))
            .empty());
  CHECK(ids_of(compare_documents(
            one, written(R"({"kid":"b","kty":"EC","crv":"P-256","x":"AA","y":"AA"})"))) ==
        "C1.4.differs");
  CHECK(ids_of(compare_documents(one, "{}")) == "C1.4.differs");
  CHECK(ids_of(compare_documents(one, "x")) == "C1.4.not_json");
  CHECK(ids_of(compare_documents("x", one)) == "C1.4.not_json");
}
