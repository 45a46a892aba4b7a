// SPDX-License-Identifier: MIT
#include <stdlib.h>

#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

import latchkey.atproto.handle_resolution;
import latchkey.atproto.identity;
import latchkey.core;
import latchkey.http;
import latchkey.http.cares;
import latchkey.http.curl;
import latchkey.http.dns;
import latchkey.http.policy;
import latchkey.test.certificate;
import latchkey.test.dns_server;
import latchkey.test.raw_server;

// Handles and DIDs asked of real peers on loopback: dnsmasq over c-ares, and https with a
// certificate authority of the test's own over libcurl.

using namespace latchkey;
using namespace latchkey::test;

namespace {

// The authority of the test is the only one, or reading the machine's takes longer than the test.
[[maybe_unused]] const int no_system_store = ::setenv("SSL_CERT_FILE", "/dev/null", 1);

const std::string kHandle = "alice.test";
const std::string kDid = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const std::string kOther = "did:web:documents.test";

std::string response(const std::string& status, const std::string& type, const std::string& body) {
  return "HTTP/1.1 " + status + "\r\nContent-Type: " + type +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" +
         body;
}

std::string document_of(const std::string& did) {
  return response("200 OK", "application/did+ld+json",
                  R"({"id":")" + did + R"(","alsoKnownAs":["at://)" + kHandle +
                      R"("],"service":[{"id":"#atproto_pds","type":"AtprotoPersonalDataServer",)" +
                      R"("serviceEndpoint":"https://pds.test"}]})");
}

/// One https server for all names, which serves a handle file, documents, and nothing else.
class Peers {
 public:
  std::string handle_file = response("404 Not Found", "text/plain", "");

  explicit Peers(const std::vector<std::string>& records,
                 std::vector<std::string> certified = {kHandle, "plc.test", "documents.test"})
      : dns_(records),
        ca_(authority_.certificate_pem()),
        https_([this](Peer& peer) { peer.write(answer_to(peer.read_request())); },
               {.identity = authority_.issue(certified)}) {}

  [[nodiscard]] std::shared_ptr<HttpTransport> transport(AddressRule rule) const {
    CurlOptions options{.address_rule = rule, .extra_ca_file = ca_.path()};
    for (const auto* name : {"alice.test", "mallory.test", "plc.test", "documents.test"}) {
      options.connect_to.push_back(
          {.host = name, .port = 443, .to_host = "127.0.0.1", .to_port = https_.port()});
    }
    return CurlTransport::open(std::move(options)).value();
  }
  [[nodiscard]] std::shared_ptr<DnsResolver> dns() const {
    return CaresResolver::open({.servers = {dns_.address()}}).value();
  }
  [[nodiscard]] IdentityResolver resolver(AddressRule strangers = AddressRule::any) const {
    return {IdentityTransports{.strangers = transport(strangers),
                               .configured = transport(AddressRule::any)},
            IdentityOptions{.plc_url = "https://plc.test", .dns = dns()}};
  }
  [[nodiscard]] std::size_t requests() const { return https_.requests().size(); }

 private:
  std::string answer_to(const std::string& request) const {
    if (request.starts_with("GET /.well-known/atproto-did ")) return handle_file;
    if (request.starts_with("GET /" + kDid + " ")) return document_of(kDid);
    if (request.starts_with("GET /.well-known/did.json ")) return document_of(kOther);
    return response("404 Not Found", "text/plain", "");
  }

  DnsServer dns_;
  Authority authority_;
  TemporaryFile ca_;
  RawServer https_;
};

std::string record(const std::string& value) {
  return "txt-record=_atproto." + kHandle + ",\"" + value + "\"";
}

template <class T>
std::string detail_of(const Result<T>& result) {
  return result ? "accepted" : result.error().detail;
}

}  // namespace

TEST_CASE("C2.2: a handle that only a DNS server knows is resolved", "[peers]") {
  const Peers peers({record("did=" + kDid), record("v=spf1 -all")});
  const auto found = peers.resolver().resolve(kHandle).value();
  CHECK(found.did == kDid);
  CHECK(found.handle == kHandle);
  CHECK(found.pds == "https://pds.test");
}

TEST_CASE("C2.2: a handle that only its https server knows is resolved", "[peers]") {
  Peers peers({});
  peers.handle_file = response("200 OK", "text/html", kDid + "\r\nmore\r\n");
  CHECK(peers.resolver().resolve(kHandle).value().did == kDid);
}

TEST_CASE("C2.2: a record in pieces is one DID", "[peers]") {
  const Peers peers(
      {"txt-record=_atproto." + kHandle + ",\"did=did:plc:\",\"" + kDid.substr(8) + "\""});
  CHECK(peers.resolver().resolve_handle(kHandle).value() == kDid);
}

TEST_CASE("C2.2: DNS resolves a handle whose host has another's certificate", "[peers]") {
  const Peers peers({record("did=" + kDid)}, {"plc.test"});
  CHECK(peers.resolver().resolve_handle(kHandle).value() == kDid);
  CHECK(detail_of(Peers({}, {"plc.test"}).resolver().resolve_handle(kHandle)) == "tls.certificate");
}

TEST_CASE("C2.2: nobody knows the handle", "[peers]") {
  const auto found = Peers({}).resolver().resolve(kHandle);
  CHECK(detail_of(found) == "handle.not_found");
  CHECK(found.error().code == ErrorCode::identity_not_found);
}

TEST_CASE("C2.2: redirects, errors and too long files of a handle's host are refused", "[peers]") {
  Peers peers({});
  peers.handle_file = "HTTP/1.1 302 Found\r\nLocation: https://plc.test/" + kDid +
                      "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  CHECK(detail_of(peers.resolver().resolve_handle(kHandle)) == "handle.status");
  CHECK(peers.requests() == 1);
  peers.handle_file = response("500 Internal Server Error", "text/plain", kDid);
  CHECK(detail_of(peers.resolver().resolve_handle(kHandle)) == "handle.status");
  peers.handle_file = response("200 OK", "text/plain", kDid + "\n" + std::string(2048, ' '));
  CHECK(detail_of(peers.resolver().resolve_handle(kHandle)) == "http.body_too_large");
}

TEST_CASE("C2.3: two TXT records with different DIDs are an error on the wire too", "[peers]") {
  const Peers peers({record("did=" + kDid), record("did=" + kOther)});
  CHECK(detail_of(peers.resolver().resolve(kHandle)) == "handle.ambiguous");
}

TEST_CASE("C2.4: DNS may point to a DID, but only its document makes the handle its own",
          "[peers]") {
  const Peers peers({"txt-record=_atproto.mallory.test,\"did=" + kDid + "\""});
  CHECK(detail_of(peers.resolver().resolve("mallory.test")) == "handle.not_claimed");
}

TEST_CASE("C2.5: did:web is asked at its own host", "[peers]") {
  const Peers peers({record("did=" + kOther)});
  CHECK(peers.resolver().resolve(kHandle).value().did == kOther);
  CHECK(peers.resolver().resolve(kOther).value().handle == kHandle);
}

TEST_CASE("C2.10: a handle too long for DNS is resolved by https alone", "[peers]") {
  const std::string label(60, 'a');
  const auto handle = label + '.' + label + '.' + label + '.' + label + ".test";
  REQUIRE(handle.size() > 244);
  const Authority authority;
  const TemporaryFile ca(authority.certificate_pem());
  RawServer https(
      [](Peer& peer) {
        if (!peer.read_request().empty()) peer.write(response("200 OK", "text/plain", kDid));
      },
      {.identity = authority.issue({handle})});
  const DnsServer dns({});
  const std::shared_ptr<HttpTransport> transport =
      CurlTransport::open(
          {.address_rule = AddressRule::any,
           .extra_ca_file = ca.path(),
           .connect_to =
               {{.host = handle, .port = 443, .to_host = "127.0.0.1", .to_port = https.port()}}})
          .value();
  HandleResolver resolver(transport, CaresResolver::open({.servers = {dns.address()}}).value());
  CHECK(resolver.resolve(handle).value() == kDid);
}

TEST_CASE("identity: what a stranger names may not be private, what the developer configured may",
          "[peers]") {
  Peers peers({});
  peers.handle_file = response("200 OK", "text/plain", kDid);
  auto resolver = peers.resolver(AddressRule::public_only);
  CHECK(detail_of(resolver.resolve_handle(kHandle)) == "address.not_public");
  CHECK(detail_of(resolver.resolve_did(kOther)) == "address.not_public");
  CHECK(peers.requests() == 0);
  CHECK(resolver.resolve_did(kDid).value().did == kDid);
}
