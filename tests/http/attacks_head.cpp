// SPDX-License-Identifier: MIT
module;
#include <string>
#include <vector>
module latchkey.test.attacks;
import latchkey.test.raw_server;

namespace latchkey::test {
namespace {

constexpr auto kAbove = AnswerAttack::Layer::above_tls;

std::string text(std::string_view view) {
  return std::string(view);
}

}  // namespace

std::vector<AnswerAttack> head_attacks() {
  const std::string ok = "HTTP/1.1 200 OK\r\n", end = "Content-Length: 2\r\n\r\nok";
  const std::string early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
  const std::string interim_reason =
      "cpprestsdk takes the first interim answer for the answer, which is refused";
  const std::string flood_reason = "it reads lines whole: the byte budget under TLS ends it";
  const std::string lenient_reason =
      "its parser forgives the form; what it has read is judged by the same rules";
  std::string many;
  for (int i = 0; i < 40; ++i)
    many += "X-" + std::to_string(i) + ": " + std::string(500, 'x') + "\r\n";
  return {
      {{.name = "a header line without end",
        .ending = text(kHeadTooLarge),
        .cpprest_ending = text(kFlooded),
        .cpprest_reason = flood_reason},
       floods(ok + "X: ", "x")},
      {{.name = "header lines without end",
        .ending = text(kHeadTooLarge),
        .cpprest_ending = text(kFlooded),
        .cpprest_reason = flood_reason},
       floods(ok, "X-Bomb: xxxxxxxxxxxxxxxx\r\n")},
      {{.name = "headers a little beyond the cap", .ending = text(kHeadTooLarge)},
       says(ok + many + end)},
      {{.name = "a status line without end",
        .ending = text(kHeadTooLarge),
        .cpprest_ending = text(kFlooded),
        .cpprest_reason = flood_reason},
       floods("HTTP/1.1 200 ", "x")},
      {{.name = "a body without a head, without end",
        .ending = text(kMalformed),
        .cpprest_ending = text(kFlooded),
        .cpprest_reason = flood_reason},
       floods("", "x")},
      {{.name = "interim answers without end",
        .ending = text(kHeadTooLarge),
        .cpprest_ending = text(kMalformed),
        .cpprest_reason = interim_reason},
       floods("", early)},
      {{.name = "100 Continue without end",
        .ending = text(kHeadTooLarge),
        .cpprest_ending = text(kMalformed),
        .cpprest_reason = interim_reason},
       floods("", "HTTP/1.1 100 Continue\r\n\r\n")},
      {{.name = "interim answers that drip",
        .ending = text(kTimeout),
        .cpprest_ending = text(kMalformed),
        .cpprest_reason = interim_reason},
       drips("", early),
       kAbove,
       kShort},
      {{.name = "silence instead of an answer", .ending = text(kTimeout)},
       says(""),
       kAbove,
       kShort},
      {{.name = "a head that drips", .ending = text(kTimeout)},
       drips(ok + "X: ", "x"),
       kAbove,
       kShort},
      {{.name = "a status line that drips", .ending = text(kTimeout)},
       drips("HTTP/1.1 2", "0"),
       kAbove,
       kShort},
      {{.name = "an end instead of an answer", .ending = text(kLost)}, says_and_goes("")},
      {{.name = "an end within the head", .ending = text(kLost)}, says_and_goes(ok + "X: y\r\n")},
      {{.name = "the banner of another protocol", .ending = text(kMalformed)},
       says_and_goes("SSH-2.0-OpenSSH_9.2\r\n\r\n")},
      {{.name = "HTTP/0.9",
        .ending = text(kMalformed),
        .cpprest_ending = text(kLost),
        .cpprest_reason = "it waits for a line end that never comes"},
       says_and_goes("<html>hello</html>")},
      {{.name = "HTTP/9.9",
        .ending = text(kMalformed),
        .cpprest_ending = "200",
        .cpprest_reason = lenient_reason},
       says_and_goes("HTTP/9.9 200 OK\r\n" + end)},
      {{.name = "a status that is no number", .ending = text(kMalformed)},
       says_and_goes("HTTP/1.1 abc OK\r\n" + end)},
      {{.name = "a status of five digits", .ending = text(kMalformed)},
       says_and_goes("HTTP/1.1 20000 OK\r\n" + end)},
      {{.name = "status 000", .ending = text(kMalformed)},
       says_and_goes("HTTP/1.1 000 OK\r\n" + end)},
      {{.name = "a negative status", .ending = text(kMalformed)},
       says_and_goes("HTTP/1.1 -200 OK\r\n" + end)},
      {{.name = "101 without having been asked", .ending = text(kMalformed)},
       says(
           "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nhello")},
      {{.name = "a header without a colon",
        .ending = text(kMalformed),
        .cpprest_ending = "200",
        .cpprest_reason = lenient_reason},
       says(ok + "X-Nothing\r\n" + end)},
      {{.name = "a header without a name", .ending = text(kMalformed)}, says(ok + ": x\r\n" + end)},
      {{.name = "a space before the colon",
        .ending = text(kMalformed),
        .cpprest_ending = "200",
        .cpprest_reason = lenient_reason},
       says(ok + "X : y\r\n" + end)},
      {{.name = "a NUL in a header", .ending = text(kMalformed)},
       says(ok + std::string("X: a\0b\r\n", 8) + end)},
      {{.name = "a carriage return in a header", .ending = text(kMalformed)},
       says(ok + "X: a\rSet-Cookie: b\r\n" + end)},
      {{.name = "a control character in a header", .ending = text(kMalformed)},
       says(ok + "X: a\x1b[2J\r\n" + end)},
      {{.name = "a header folded over two lines",
        .ending = text(kMalformed),
        .cpprest_ending = "200",
        .cpprest_reason = lenient_reason},
       says(ok + "X: a\r\n b: c\r\n" + end)},
      {{.name = "a head that begins with empty lines",
        .ending = text(kMalformed),
        .cpprest_ending = "200",
        .cpprest_reason = lenient_reason},
       says("\r\n\r\n" + ok + end)},
      {{.name = "headers without end over plain http",
        .ending = text(kHeadTooLarge),
        .cpprest_ending = text(kTimeout),
        .cpprest_reason =
            "without TLS there is no byte budget: only time ends it, and only on this machine"},
       [ok](Peer& peer) {
         peer.read_request();
         peer.write(ok + "X: " + std::string(1024 * 1024, 'x'));
         peer.wait_for_close();
       },
       AnswerAttack::Layer::plain_http,
       kShort},
  };
}

std::vector<AnswerAttack> redirect_attacks() {
  const auto to = [](const char* name, int status, const std::string& field) {
    return AnswerAttack{{.name = name, .ending = std::to_string(status)},
                        says("HTTP/1.1 " + std::to_string(status) + " Away\r\n" + field +
                             "\r\nContent-Length: 0\r\n\r\n")};
  };
  return {
      to("301 to another origin", 301, "Location: https://other.example/"),
      to("302 to a private address", 302, "Location: https://127.0.0.1/"),
      to("302 to the metadata service", 302, "Location: http://169.254.169.254/latest/meta-data/"),
      to("303 to plain http", 303, "Location: http://attacker.example/"),
      to("307 to another origin", 307, "Location: https://other.example/"),
      to("308 to another origin", 308, "Location: https://other.example/"),
      to("301 to itself, for ever", 301, "Location: /"),
      to("302 without a scheme", 302, "Location: //other.example/"),
      to("302 to a file", 302, "Location: file:///etc/passwd"),
      to("302 to gopher", 302, "Location: gopher://127.0.0.1:6379/_FLUSHALL"),
      to("302 with user and password", 302, "Location: https://a:b@other.example/"),
      to("302 to nowhere", 302, "X: y"),
      to("300 with choices", 300, "Location: https://other.example/"),
      to("305 to a proxy", 305, "Location: http://proxy.example:8080/"),
      to("200 with Location", 200, "Location: https://other.example/"),
      to("200 with Refresh", 200, "Refresh: 0; url=https://other.example/"),
      to("200 with Alt-Svc", 200, "Alt-Svc: h2=\"other.example:443\""),
      to("401 that asks for other credentials", 401, "WWW-Authenticate: Negotiate"),
      to("407 of no proxy", 407, "Proxy-Authenticate: Basic realm=\"x\""),
      to("408 that asks for the request again", 408, "Connection: close"),
      to("421 that asks for another connection", 421, "Connection: close"),
      to("425 that asks for the request again", 425, "Retry-After: 0"),
      to("503 that asks for the request again", 503, "Retry-After: 0"),
  };
}

}  // namespace latchkey::test
