// SPDX-License-Identifier: MIT
module;
#include <openssl/ssl.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>
module latchkey.test.attacks;
import latchkey.test.certificate;
import latchkey.test.raw_server;

namespace latchkey::test {
namespace {

constexpr auto kInstead = AnswerAttack::Layer::instead_tls;

}  // namespace

// What happens before there is a connection to send a request on.
std::vector<AnswerAttack> handshake_attacks() {
  const std::string handshake = "tls_failed tls.handshake not_sent";
  const std::string timeout = "timeout http.connect_timeout not_sent";
  const auto at_once = [](std::string bytes) -> RawServer::Script {
    return [bytes = std::move(bytes)](Peer& peer) {
      peer.write(bytes);
      peer.wait_for_close();
    };
  };
  const auto failing = [&](const char* name, std::string bytes) {
    return AnswerAttack{{.name = name, .ending = handshake}, at_once(std::move(bytes)), kInstead};
  };
  return {
      failing("an answer in plain text", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
      failing("a mail server", "220 mail.example ESMTP\r\n"),
      failing("a record of an unknown kind", std::string("\xff\x03\x03\x00\x01\x00", 6)),
      failing("a record larger than allowed",
              std::string("\x16\x03\x03\xff\xff", 5) + std::string(70'000, 'x')),
      failing("an alert", std::string("\x15\x03\x03\x00\x02\x02\x28", 7)),
      failing("data before the handshake", std::string("\x17\x03\x03\x00\x01x", 6)),
      {{.name = "silence instead of a handshake", .ending = timeout},
       at_once(""),
       kInstead,
       kShort},
      {{.name = "a handshake that drips", .ending = timeout},
       [](Peer& peer) {
         peer.write(std::string("\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03", 11));
         while (peer.pause(std::chrono::milliseconds(20)) && peer.write("x")) continue;
       },
       kInstead,
       kShort},
      {{.name = "a handshake message of 16 MiB", .ending = handshake},
       [](Peer& peer) {
         peer.write(std::string("\x16\x03\x03\x40\x00\x02\xff\xff\xff\x03\x03", 11) +
                    std::string(16'377, 'x'));
         const std::string record =
             std::string("\x16\x03\x03\x40\x00", 5) + std::string(16'384, 'x');
         for (std::size_t sent = 0; sent < kFlood && peer.write(record);) sent += record.size();
         peer.wait_for_close();
       },
       kInstead},
      {{.name = "an end instead of a handshake", .ending = handshake}, [](Peer&) {}, kInstead},
  };
}

// Servers that are not who they say they are. The client knows `authority`.
std::vector<IdentityAttack> identity_attacks(const Authority& authority) {
  using std::chrono::hours;
  const std::string refused = "tls_failed tls.certificate not_sent";
  const std::string name(kAttacker);
  const auto showing = [&](const char* what, Identity identity) {
    return IdentityAttack{{.name = what, .ending = refused}, {.identity = std::move(identity)}};
  };
  const auto speaking = [&](const char* what, int version) {
    return IdentityAttack{{.name = what, .ending = "tls_failed tls.handshake not_sent"},
                          {.identity = authority.issue({name}), .highest_tls = version}};
  };
  return {
      {{.name = "a certificate of another authority of the same name",
        .ending = "tls_failed tls.handshake not_sent",
        .cpprest_ending = refused,
        .cpprest_reason =
            "libcurl looks at OpenSSL's first error only, which is about a signature"},
       {.identity = Authority().issue({name})}},
      showing("a certificate for another name", authority.issue({"pds.example"})),
      showing("a certificate for a name below", authority.issue({"a." + name})),
      showing("a certificate for a name that ends alike", authority.issue({"an" + name})),
      showing("a certificate for the name and more", authority.issue({name + ".evil.example"})),
      showing("a certificate for every name", authority.issue({"*"})),
      showing("a certificate for a part of a label", authority.issue({"attack*.example"})),
      showing("a certificate for the address instead of the name", authority.issue({"127.0.0.1"})),
      showing("a certificate that has expired", authority.issue_expired({name})),
      showing("a certificate of tomorrow", authority.issue({name}, hours(24), hours(48))),
      speaking("TLS 1.0", TLS1_VERSION),
      speaking("TLS 1.1", TLS1_1_VERSION),
  };
}

}  // namespace latchkey::test
