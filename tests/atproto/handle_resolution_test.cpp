// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

import latchkey.atproto.handle_resolution;
import latchkey.core;
import latchkey.http;
import latchkey.http.dns;
import latchkey.test.scripted_dns;
import latchkey.test.scripted_transport;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

const std::string kHandle = "alice.example.com";
const std::string kDid = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const std::string kOther = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";

Error until_stopped(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait(lock, stop, [] { return false; });
  return make_error(ErrorCode::cancelled, "scripted.stopped", "stopped");
}

Error broken(ErrorCode code, const std::string& who) {
  return make_error(code, "scripted." + who, who + " is broken");
}

// Both ways, each with what it says.
struct Ways {
  ScriptedDns::Handler on_dns = [](const std::string&, const DnsOptions&) -> TxtAnswer {
    return std::vector<std::string>{};
  };
  ScriptedTransport::Handler on_https = [](const HttpRequest&, const SendOptions&) {
    return Result<HttpResponse>(answer(404));
  };
  std::shared_ptr<ScriptedDns> dns = std::make_shared<ScriptedDns>(
      [this](const std::string& name, const DnsOptions& options) { return on_dns(name, options); });
  std::shared_ptr<ScriptedTransport> https = std::make_shared<ScriptedTransport>(
      [this](const HttpRequest& request, const SendOptions& options) {
        return on_https(request, options);
      });

  void dns_says(std::vector<std::string> records) {
    on_dns = [records](const std::string&, const DnsOptions&) { return TxtAnswer(records); };
  }
  void dns_fails(ErrorCode code) {
    on_dns = [code](const std::string&, const DnsOptions&) {
      return TxtAnswer(broken(code, "dns"));
    };
  }
  void dns_waits() {
    on_dns = [](const std::string&, const DnsOptions& options) {
      return TxtAnswer(until_stopped(options.stop));
    };
  }
  void https_says(int status, const std::string& body) {
    on_https = [status, body](const HttpRequest&, const SendOptions&) {
      return Result<HttpResponse>(answer(status, {}, body));
    };
  }
  void https_fails(ErrorCode code) {
    on_https = [code](const HttpRequest&, const SendOptions&) {
      return Result<HttpResponse>(broken(code, "https"));
    };
  }
  void https_waits() {
    on_https = [](const HttpRequest&, const SendOptions& options) {
      return Result<HttpResponse>(until_stopped(options.stop));
    };
  }
  HandleAnswer resolve(const std::string& handle = kHandle, std::stop_token stop = {}) {
    return HandleResolver(https, dns).resolve(handle, std::move(stop));
  }
};

std::string outcome(const HandleAnswer& answer) {
  if (!answer) return answer.error().detail;
  return answer->value_or("absent");
}

std::string long_handle(std::size_t size) {
  const std::string label(49, 'a');
  std::string out = label + '.' + label + '.' + label + '.' + label + '.';
  return out + std::string(size - out.size() - 4, 'b') + ".com";
}

}  // namespace

TEST_CASE("C2.2: a TXT record alone resolves a handle", "[handle]") {
  Ways ways;
  ways.dns_says({"did=" + kDid});
  CHECK(outcome(ways.resolve()) == kDid);
  CHECK(ways.dns->names() == std::vector<std::string>{"_atproto." + kHandle});
}

TEST_CASE("C2.2: the well-known file alone resolves a handle", "[handle]") {
  Ways ways;
  ways.https_says(200, kDid);
  CHECK(outcome(ways.resolve()) == kDid);
  CHECK(ways.https->requests().at(0).url.text() ==
        "https://" + kHandle + "/.well-known/atproto-did");
}

TEST_CASE("C2.2: both ways have three seconds", "[handle]") {
  Ways ways;
  CHECK(outcome(ways.resolve()) == "absent");
  CHECK(ways.dns->options().at(0).timeout == 3s);
  CHECK(ways.https->options().at(0).timeout == 3s);
  CHECK(ways.https->options().at(0).connect_timeout == 3s);
  CHECK(ways.https->options().at(0).max_body == 2048);
}

TEST_CASE("C2.2: both are asked at once, and the first DID stops the other", "[handle]") {
  Ways ways;
  SECTION("DNS is first") {
    ways.dns_says({"did=" + kDid});
    ways.https_waits();
  }
  SECTION("https is first") {
    ways.dns_waits();
    ways.https_says(200, kDid);
  }
  CHECK(outcome(ways.resolve()) == kDid);
  CHECK(ways.dns->names().size() == 1);
}

TEST_CASE("C2.2: when both have answered, DNS counts", "[handle]") {
  Ways ways;
  ways.https_says(200, kOther);
  ways.dns_says({"did=" + kDid});
  CHECK(outcome(ways.resolve()) == kDid);
}

TEST_CASE("C2.2: a failure of one way does not hide the DID of the other", "[handle]") {
  const auto code = GENERATE(ErrorCode::timeout, ErrorCode::unreachable, ErrorCode::tls_failed,
                             ErrorCode::invalid_response, ErrorCode::response_too_large,
                             ErrorCode::insecure_address);
  Ways ways;
  SECTION("DNS fails") {
    ways.dns_fails(code);
    ways.https_says(200, kDid);
  }
  SECTION("https fails") {
    ways.dns_says({"did=" + kDid});
    ways.https_fails(code);
  }
  CHECK(outcome(ways.resolve()) == kDid);
}

TEST_CASE("C2.2: a nonsense answer of one way does not hide the DID of the other", "[handle]") {
  Ways ways;
  SECTION("DNS") {
    ways.dns_says({"did=nonsense"});
    ways.https_says(200, kDid);
  }
  SECTION("https") {
    ways.dns_says({"did=" + kDid});
    ways.https_says(200, "<!DOCTYPE html>");
  }
  CHECK(outcome(ways.resolve()) == kDid);
}

TEST_CASE("C2.2: absent is what both say, and nothing else", "[handle]") {
  Ways ways;
  CHECK(outcome(ways.resolve()) == "absent");
  ways.dns_fails(ErrorCode::timeout);
  CHECK(outcome(ways.resolve()) == "scripted.dns");
  ways.https_fails(ErrorCode::unreachable);
  CHECK(outcome(ways.resolve()) == "scripted.https");
  ways.dns_says({});
  CHECK(outcome(ways.resolve()) == "scripted.https");
}

TEST_CASE("C2.2: the error says what became of either way", "[handle]") {
  Ways ways;
  ways.dns_fails(ErrorCode::timeout);
  ways.https_fails(ErrorCode::unreachable);
  const auto both = ways.resolve().error().message;
  CHECK(both.find("dns is broken") != std::string::npos);
  CHECK(both.find("https is broken") != std::string::npos);
  ways.https_says(404, "");
  CHECK(ways.resolve().error().message.find("by https: there is no DID") != std::string::npos);
  ways.dns_says({});
  ways.https_says(500, "");
  CHECK(ways.resolve().error().message.find("by DNS: there is no DID") != std::string::npos);
  CHECK(ways.resolve().error().http_status == 500);
}

TEST_CASE("C2.2: the first line of the well-known file, trimmed, is the DID", "[handle]") {
  const std::string body =
      GENERATE_COPY(kDid, kDid + "\n", kDid + "\r\n", "  " + kDid + " \n", kDid + "\nmore\n");
  CHECK(outcome(process_handle_file(kHandle, answer(200, {}, body))) == kDid);
}

TEST_CASE("C2.2: the content type of the well-known file is not looked at", "[handle]") {
  const std::string type = GENERATE("text/plain", "text/html", "application/json", "nonsense");
  CHECK(outcome(process_handle_file(kHandle, answer(200, {{"Content-Type", type}}, kDid))) == kDid);
}

TEST_CASE("C2.2: a well-known file that is no DID is an error and not absent", "[handle]") {
  const std::string body =
      GENERATE_COPY(std::string(), "\n" + kDid, "<!DOCTYPE html>", "did=" + kDid, "did:key:z",
                    kDid + " " + kDid, "\xEF\xBB\xBF" + kDid);
  const auto found = process_handle_file(kHandle, answer(200, {}, body));
  CHECK(outcome(found) == "handle.not_a_did");
  CHECK(found.error().code == ErrorCode::invalid_response);
}

TEST_CASE("C2.2: records of other purposes do not count", "[handle]") {
  const std::string record =
      GENERATE("v=spf1 -all", "DID=did:plc:ewvi7nxzyoun6zhxrhs64oiz", " did=x",
               "did:plc:ewvi7nxzyoun6zhxrhs64oiz", "did", "", "xdid=y");
  CHECK(outcome(did_of_records(kHandle, {record})) == "absent");
  CHECK(outcome(did_of_records(kHandle, {record, "did=" + kDid, record})) == kDid);
}

TEST_CASE("C2.2: a did= that is no DID is an error and not absent", "[handle]") {
  const std::string value =
      GENERATE(as<std::string>{}, "", "nonsense", "did:key:z6Mk", "did:plc:short", " " + kDid,
               kDid + " ", "did=" + kDid, "\"" + kDid + "\"");
  const auto found = did_of_records(kHandle, {"did=" + value});
  CHECK(outcome(found) == "handle.not_a_did");
  CHECK(found.error().code == ErrorCode::invalid_response);
}

TEST_CASE("C2.3: two different TXT records are an error", "[handle]") {
  const std::string other = GENERATE_COPY("did=" + kOther, "did=", "did=nonsense",
                                          "did=did:web:example.com", "did=" + kDid + " ");
  const auto found = did_of_records(kHandle, {"did=" + kDid, "x", other});
  CHECK(outcome(found) == "handle.ambiguous");
  CHECK(found.error().code == ErrorCode::identity_mismatch);
  CHECK(outcome(did_of_records(kHandle, {other, "did=" + kDid})) == "handle.ambiguous");
}

TEST_CASE("C2.3: the same TXT record twice is one", "[handle]") {
  CHECK(outcome(did_of_records(kHandle, {"did=" + kDid, "did=" + kDid})) == kDid);
}

TEST_CASE("C2.3: ambiguity is definite: it stops https and is not mended by it", "[handle]") {
  Ways ways;
  ways.dns_says({"did=" + kDid, "did=" + kOther});
  SECTION("https has not answered") {
    ways.https_waits();
  }
  SECTION("https has answered") {
    ways.https_says(200, kDid);
  }
  SECTION("https knows nothing") {}
  SECTION("https fails") {
    ways.https_fails(ErrorCode::timeout);
  }
  CHECK(outcome(ways.resolve()) == "handle.ambiguous");
}

TEST_CASE("C2.10: a handle too long for DNS is asked for by https alone", "[handle]") {
  Ways ways;
  ways.https_says(200, kDid);
  ways.dns_says({"did=" + kOther});
  const auto longest = long_handle(244);
  CHECK(outcome(ways.resolve(longest)) == kOther);
  CHECK(ways.dns->names() == std::vector<std::string>{"_atproto." + longest});
  for (const std::size_t size : {245U, 253U})
    CHECK(outcome(ways.resolve(long_handle(size))) == kDid);
  CHECK(ways.dns->names().size() == 1);
}

TEST_CASE("handle: without a resolver https is the only way", "[handle]") {
  Ways ways;
  ways.https_says(200, kDid);
  CHECK(outcome(HandleResolver(ways.https, nullptr).resolve(kHandle)) == kDid);
  ways.https_fails(ErrorCode::timeout);
  CHECK(HandleResolver(ways.https, nullptr).resolve(kHandle).error().message == "https is broken");
}

TEST_CASE("handle: the caller's stop ends both ways", "[handle]") {
  Ways ways;
  std::stop_source source;
  ways.https_waits();
  ways.on_dns = [&](const std::string&, const DnsOptions& options) {
    source.request_stop();
    return TxtAnswer(until_stopped(options.stop));
  };
  const auto found = ways.resolve(kHandle, source.get_token());
  REQUIRE_FALSE(found.has_value());
  CHECK(found.error().code == ErrorCode::cancelled);
}

TEST_CASE("handle: many at once", "[handle][concurrency]") {
  Ways ways;
  ways.dns_says({"did=" + kDid});
  ways.https_says(200, kDid);
  for (int i = 0; i < 200; ++i) CHECK(outcome(ways.resolve()) == kDid);
}
