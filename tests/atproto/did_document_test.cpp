// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <string>
#include <string_view>
#include <utility>

import latchkey.atproto.identity;
import latchkey.core;

using namespace latchkey;

namespace {

constexpr std::string_view kDid = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

std::string service(const std::string& id, const std::string& endpoint,
                    const std::string& type = "AtprotoPersonalDataServer") {
  return R"({"id":")" + id + R"(","type":")" + type + R"(","serviceEndpoint":")" + endpoint +
         R"("})";
}

std::string document(const std::string& services,
                     const std::string& aliases = R"(["at://alice.example.com"])") {
  return R"({"id":")" + std::string(kDid) + R"(","alsoKnownAs":)" + aliases +
         R"(,"verificationMethod":[],"service":[)" + services + "]}";
}

Result<DidDocument> parse(const std::string& json, HttpRule rule = HttpRule::https_only) {
  return parse_did_document(json, kDid, rule);
}

std::string detail_of(const Result<DidDocument>& result) {
  return result ? "accepted" : result.error().detail;
}

const std::string kGood = service("#atproto_pds", "https://pds.example.com");

}  // namespace

TEST_CASE("DID document: handle and PDS are read", "[identity]") {
  const auto found = parse(document(kGood)).value();
  CHECK(found.did == kDid);
  CHECK(found.handle == "alice.example.com");
  CHECK(found.pds == "https://pds.example.com");
}

TEST_CASE("DID document: the reference directory's old form is read", "[identity]") {
  const auto found = parse(R"({
    "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"],
    "id": "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
    "alsoKnownAs": ["at://alice.test"],
    "verificationMethod": [{"id": "#atproto", "type": "EcdsaSecp256k1VerificationKey2019",
                            "controller": "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
                            "publicKeyMultibase": "zQYEBzXeuTM9UR3rfvNag6L3RNAs5pQZyYPsomTsgQhsxL"}],
    "service": [{"id": "#atproto_pds", "type": "AtprotoPersonalDataServer",
                 "serviceEndpoint": "http://localhost:2583"}]})",
                           HttpRule::allow_http_for_loopback)
                         .value();
  CHECK(found.handle == "alice.test");
  CHECK(found.pds == "http://localhost:2583");
}

TEST_CASE("C2.6: DID document: the service id may begin with the DID", "[identity]") {
  CHECK(parse(document(service(std::string(kDid) + "#atproto_pds", "https://pds.example.com")))
            .value()
            .pds == "https://pds.example.com");
}

TEST_CASE("C2.6: DID document: the first service that fits is the PDS", "[identity]") {
  const auto first = GENERATE_COPY(
      service("#atproto_labeler", "https://no.example.com"),
      service("#atproto_pds", "https://no.example.com", "AtprotoLabeler"),
      service("atproto_pds", "https://no.example.com"),
      service("#x#atproto_pds", "https://no.example.com"),
      service("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa#atproto_pds", "https://no.example.com"),
      std::string(R"({"id":7,"type":"AtprotoPersonalDataServer"})"),
      std::string(R"({"id":"#atproto_pds","type":["AtprotoPersonalDataServer"]})"),
      std::string("{}"));
  CHECK(parse(document(first + ',' + kGood)).value().pds == "https://pds.example.com");
  CHECK(parse(document(kGood + ',' + service("#atproto_pds", "https://second.example.com")))
            .value()
            .pds == "https://pds.example.com");
}

TEST_CASE("C2.6: DID document: a first PDS that is no good is not skipped", "[identity]") {
  CHECK(detail_of(parse(document(service("#atproto_pds", "https://a.example/x") + ',' + kGood))) ==
        "did_document.pds_endpoint");
}

TEST_CASE("DID document: no PDS and no handle are absent, not errors", "[identity]") {
  const auto found = parse(R"({"id":")" + std::string(kDid) + R"("})").value();
  CHECK(found.handle.empty());
  CHECK(found.pds.empty());
}

TEST_CASE("C2.6: DID document: the endpoint is an https origin", "[identity]") {
  const auto endpoint = GENERATE(
      "", "pds.example.com", "http://pds.example.com", "http://localhost:2583",
      "https://pds.example.com/path", "https://pds.example.com//", "https://pds.example.com?q",
      "https://pds.example.com/?", "https://pds.example.com#f", "https://user@pds.example.com",
      "https://user:pass@pds.example.com", "ftp://pds.example.com", "https://", "https:///x",
      "https://pds.example.com:0", "https://pds.example.com:99999", "https://0x7f.1",
      "https://pds.example.com\\\\@x", "https://pds example.com");
  INFO(endpoint);
  const auto found = parse(document(service("#atproto_pds", endpoint)));
  CHECK(detail_of(found) == "did_document.pds_endpoint");
  CHECK(found.error().code == ErrorCode::invalid_metadata);
}

TEST_CASE("DID document: one origin has one spelling", "[identity]") {
  using Pair = std::pair<std::string, std::string>;
  const auto [text, origin] =
      GENERATE(Pair{"https://pds.example.com/", "https://pds.example.com"},
               Pair{"HTTPS://PDS.example.com", "https://pds.example.com"},
               Pair{"https://pds.example.com:443", "https://pds.example.com"},
               Pair{"https://pds.example.com:8443", "https://pds.example.com:8443"});
  CHECK(parse(document(service("#atproto_pds", text))).value().pds == origin);
}

TEST_CASE("DID document: http is for loopback, and where it is allowed", "[identity]") {
  const auto endpoint = GENERATE("http://localhost:2583", "http://127.0.0.1:2583");
  const auto json = document(service("#atproto_pds", endpoint));
  CHECK(parse(json, HttpRule::allow_http_for_loopback).value().pds == endpoint);
  CHECK_FALSE(parse(json));
  CHECK_FALSE(parse(document(service("#atproto_pds", "http://pds.example.com")),
                    HttpRule::allow_http_for_loopback));
}

TEST_CASE("DID document: an endpoint that is no text is refused", "[identity]") {
  const std::string endpoint = GENERATE("7", "null", R"(["https://pds.example.com"])",
                                        R"({"uri":"https://pds.example.com"})");
  CHECK(detail_of(parse(document(
            R"({"id":"#atproto_pds","type":"AtprotoPersonalDataServer","serviceEndpoint":)" +
            endpoint + "}"))) == "did_document.pds_endpoint");
}

TEST_CASE("C2.5: DID document: its id equals the DID", "[identity]") {
  const std::string id = GENERATE(R"("id":"did:plc:aaaaaaaaaaaaaaaaaaaaaaaa",)", R"("id":"",)", "",
                                  R"("id":"did:plc:ewvi7nxzyoun6zhxrhs64oiz#x",)",
                                  R"("ID":"did:plc:ewvi7nxzyoun6zhxrhs64oiz",)");
  const auto found = parse("{" + id + R"("service":[)" + kGood + "]}");
  CHECK(detail_of(found) == "did_document.id");
  CHECK(found.error().code == ErrorCode::identity_mismatch);
}

TEST_CASE("DID document: the first alias that is a handle counts", "[identity]") {
  using Pair = std::pair<std::string, std::string>;
  const auto [aliases, handle] =
      GENERATE(Pair{R"(["at://Alice.Example.COM"])", "alice.example.com"},
               Pair{R"(["https://alice.example.com","at://bob.example.com"])", "bob.example.com"},
               Pair{R"(["at://a.example.com","at://b.example.com"])", "a.example.com"},
               Pair{R"(["at://not a handle","at://b.example.com"])", "b.example.com"},
               Pair{R"(["at://alice.example.com/path"])", ""}, Pair{R"(["alice.example.com"])", ""},
               Pair{R"(["@alice.example.com"])", ""}, Pair{R"(["at://@alice.example.com"])", ""},
               Pair{R"(["AT://alice.example.com"])", ""}, Pair{"[]", ""},
               Pair{R"(["at://did:plc:ewvi7nxzyoun6zhxrhs64oiz"])", ""});
  INFO(aliases);
  CHECK(parse(document(kGood, aliases)).value().handle == handle);
}

TEST_CASE("DID document: wrong types are refused", "[identity]") {
  const std::string did(kDid);
  const std::string json = GENERATE_COPY(
      std::string(R"({"id":7})"), R"({"id":null})", R"({"id":")" + did + R"(","alsoKnownAs":"x"})",
      R"({"id":")" + did + R"(","alsoKnownAs":[7]})", R"({"id":")" + did + R"(","service":{}})",
      R"({"id":")" + did + R"(","service":["x"]})", R"({"id":")" + did + R"(","service":null})");
  INFO(json);
  const auto found = parse(json);
  CHECK(detail_of(found) == "did_document.wrong_type");
  CHECK(found.error().code == ErrorCode::invalid_metadata);
}

TEST_CASE("DID document: what is no JSON object is refused", "[identity]") {
  const std::string json = GENERATE("", "[]", "null", "\"x\"", "{", "<html></html>", "{} {}");
  CHECK(detail_of(parse(json)) == "did_document.not_json");
}

TEST_CASE("DID document: a member that occurs twice is refused", "[identity]") {
  const std::string did(kDid);
  CHECK(detail_of(parse(R"({"id":"did:plc:aaaaaaaaaaaaaaaaaaaaaaaa","id":")" + did + "\"}")) ==
        "did_document.duplicate_member");
  CHECK(detail_of(parse(document(
            R"({"id":"#atproto_pds","type":"AtprotoPersonalDataServer",)"
            R"("serviceEndpoint":"https://a.example","serviceEndpoint":"https://b.example"})"))) ==
        "did_document.duplicate_member");
}
