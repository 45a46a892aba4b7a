// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

import latchkey.core.error;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.policy;
import latchkey.test.adapters;
import latchkey.test.attacks;
import latchkey.test.certificate;
import latchkey.test.own_network;
import latchkey.test.raw_server;
import latchkey.test.scripted_resolver;

// The table of attacks, each over every adapter.

using namespace latchkey::test;
using latchkey::AddressRule;
using latchkey::Delivery;
using latchkey::HttpResponse;
using latchkey::HttpRule;
using latchkey::Result;

namespace {

std::string ending_of(const Result<HttpResponse>& answer) {
  if (answer) return std::to_string(answer->status);
  const auto& error = answer.error();
  return std::string(latchkey::to_string(error.code)) + ' ' + error.detail +
         (error.delivery == Delivery::not_sent ? " not_sent" : " maybe_sent");
}

std::string message_of(const Result<HttpResponse>& answer) {
  return answer ? std::string() : answer.error().message;
}

const std::string& expected(const Attack& attack, Kind kind) {
  const bool other = kind != Kind::curl && !attack.cpprest_ending.empty();
  return other ? attack.cpprest_ending : attack.ending;
}

// Parsing is the first defence: what it refuses, no adapter is asked for.
Result<HttpResponse> ask(Adapter& adapter, const std::string& url) {
  const auto parsed = latchkey::Url::parse(url);
  if (!parsed) return parsed.error();
  return adapter.get(url);
}

// Strangers' addresses, with a resolver that must not be needed.
void run_address_attacks(const std::vector<AddressAttack>& attacks) {
  for (const Kind kind : kKinds) {
    const auto resolver =
        std::make_shared<ScriptedResolver>(std::vector<std::vector<std::string>>{{"127.0.0.1"}});
    Adapter adapter(kind, "", {},
                    {.address_rule = AddressRule::public_only,
                     .http_rule = HttpRule::https_only,
                     .resolver = resolver});
    for (const auto& attack : attacks) {
      const auto answer = ask(adapter, attack.url);
      INFO(name_of(kind) << ": " << attack.name << ": " << message_of(answer));
      CHECK(ending_of(answer) == expected(attack, kind));
    }
    CHECK(resolver->asked().empty());
  }
}

// An attacker's server, and a client that calls it by its name.
struct Battle {
  Authority authority;
  TemporaryFile ca{authority.certificate_pem()};
  Identity identity = authority.issue({std::string(kAttacker)});

  // Wherever it leads, it is this machine.
  [[nodiscard]] Adapter client(Kind kind) const {
    return Adapter(kind, ca.path(), {},
                   {.resolver = std::make_shared<ScriptedResolver>(
                        std::vector<std::vector<std::string>>{{"127.0.0.1"}})});
  }

  void run(const IdentityAttack& attack, Kind kind) const {
    RawServer server(says(ok_answer("hello")), attack.server);
    const auto answer = client(kind).get(server.origin(std::string(kAttacker)) + "/");
    INFO(name_of(kind) << ": " << attack.name << ": " << message_of(answer));
    CHECK(ending_of(answer) == expected(attack, kind));
    CHECK(server.requests().empty());
  }

  void run(const AnswerAttack& attack, Kind kind) const {
    const bool tls = attack.layer == AnswerAttack::Layer::above_tls;
    RawServer server(attack.script,
                     tls ? RawServerOptions{.identity = identity} : RawServerOptions{});
    const bool plain_http = attack.layer == AnswerAttack::Layer::plain_http;
    Adapter adapter = client(kind);
    adapter.options.max_body = kMaxBody;
    adapter.options.max_headers = kMaxHeaders;
    adapter.options.timeout = attack.timeout;
    const Stopwatch time;
    const auto host = plain_http ? "http://localhost" : "https://" + std::string(kAttacker);
    const auto answer = adapter.get(host + ":" + std::to_string(server.port()) + "/");
    INFO(name_of(kind) << ": " << attack.name << ": " << message_of(answer));
    CHECK(ending_of(answer) == expected(attack, kind));
    CHECK(time.is_prompt());
    CHECK(server.connections() == 1);
    CHECK(server.requests().size() <= 1);
    CHECK(server.bytes_written() <= kReadAtMost);
    CHECK((!answer || answer->body.size() <= kMaxBody));
  }
};

void run_answer_attacks(const std::vector<AnswerAttack>& attacks) {
  const Battle battle;
  for (const Kind kind : kKinds) {
    for (const auto& attack : attacks) battle.run(attack, kind);
  }
}

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

}  // namespace

TEST_CASE("C3.14: an address in disguise does not get as far as an adapter", "[http.attacks]") {
  run_address_attacks(spelling_attacks());
}

TEST_CASE("C3.14: literals that are not public are refused before anything is sent",
          "[http.attacks]") {
  run_address_attacks(literal_attacks());
}

TEST_CASE("C3.14: names that are never public are refused before they are looked up",
          "[http.attacks]") {
  run_address_attacks(local_name_attacks());
}

TEST_CASE("C3.14: a name that leads to a private address is refused before anything is sent",
          "[http.attacks]") {
  for (const auto& attack : name_attacks()) {
    for (const Kind kind : kKinds) {
      const auto resolver = std::make_shared<ScriptedResolver>(
          std::vector<std::vector<std::string>>{attack.addresses});
      Adapter adapter(kind, "", {},
                      {.address_rule = AddressRule::public_only,
                       .http_rule = HttpRule::https_only,
                       .resolver = resolver});
      const auto answer = adapter.get("https://alice.example/.well-known/atproto-did");
      INFO(name_of(kind) << ": " << attack.name << ": " << message_of(answer));
      CHECK(ending_of(answer) == expected(attack, kind));
      CHECK(resolver->asked() == std::vector<std::string>{"alice.example"});
    }
  }
}

TEST_CASE("C3.14: a server that is not who it says it is gets no request", "[http.attacks]") {
  const Battle battle;
  for (const Kind kind : kKinds) {
    for (const auto& attack : identity_attacks(battle.authority)) battle.run(attack, kind);
  }
}

TEST_CASE("C3.14: a handshake that fails or never ends sends nothing", "[http.attacks]") {
  run_answer_attacks(handshake_attacks());
}

TEST_CASE("C3.14: hostile heads are refused, within the limits", "[http.attacks]") {
  run_answer_attacks(head_attacks());
}

TEST_CASE("C3.14: framing that two readers could read differently is refused", "[http.attacks]") {
  run_answer_attacks(framing_attacks());
}

TEST_CASE("C3.14: hostile bodies are refused, within the limits", "[http.attacks]") {
  run_answer_attacks(body_attacks());
}

TEST_CASE("C3.14: no answer makes an adapter call anybody else, or call twice", "[http.attacks]") {
  run_answer_attacks(redirect_attacks());
}

TEST_CASE("C3.14: no attack leaves a descriptor open", "[http.attacks]") {
  const auto everything = [] {
    for (const auto& attacks : {handshake_attacks(), body_attacks()}) run_answer_attacks(attacks);
  };
  run_answer_attacks(redirect_attacks());  // whatever the libraries keep for ever, they have now
  const auto before = open_descriptors();
  everything();
  CHECK(open_descriptors() <= before);
}

TEST_CASE("C3.14: the table of attacks has its size, and every difference its reason",
          "[http.attacks]") {
  std::size_t count = 0, different = 0;
  const auto look_at = [&](const auto& attacks) {
    for (const auto& attack : attacks) {
      ++count;
      if (attack.cpprest_ending.empty()) continue;
      ++different;
      CHECK_FALSE(attack.cpprest_reason.empty());
    }
  };
  look_at(spelling_attacks());
  look_at(literal_attacks());
  look_at(local_name_attacks());
  look_at(name_attacks());
  look_at(identity_attacks(Authority()));
  look_at(handshake_attacks());
  look_at(head_attacks());
  look_at(framing_attacks());
  look_at(body_attacks());
  look_at(redirect_attacks());
  std::cout << count << " attacks, each over " << std::size(kKinds)
            << " transports; the adapters differ in " << different << '\n';
  CHECK(count >= 200);
}
