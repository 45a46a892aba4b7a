// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.attacks;
import latchkey.test.raw_server;

namespace latchkey::test {
namespace {

constexpr auto kAbove = AnswerAttack::Layer::above_tls;
const std::string kOk = "HTTP/1.1 200 OK\r\n";
const std::string kChunked = kOk + "Transfer-Encoding: chunked\r\n\r\n";

std::string text(std::string_view view) {
  return std::string(view);
}

AnswerAttack refused(const char* name, std::string answer) {
  return {{.name = name, .ending = text(kMalformed)}, says(std::move(answer))};
}

// libcurl has no code of its own for chunks that do not parse: it says that receiving failed.
AnswerAttack refused_chunk(const char* name, std::string chunk) {
  return {{.name = name,
           .ending = text(kLost),
           .cpprest_ending = text(kMalformed),
           .cpprest_reason = "cpprestsdk tells chunks that do not parse from a lost connection"},
          says(kChunked + std::move(chunk))};
}

AnswerAttack misread_chunk(const char* name, std::string chunk) {
  return {{.name = name,
           .ending = text(kLost),
           .cpprest_ending = text(kTimeout),
           .cpprest_reason = "cpprestsdk reads another size, and waits for the rest of the chunk"},
          says(kChunked + std::move(chunk)),
          kAbove,
          kShort};
}

AnswerAttack answered(const char* name, std::string answer) {
  return {{.name = name, .ending = "200"}, says(std::move(answer))};
}

}  // namespace

// Answers whose end two readers could see in two places.
std::vector<AnswerAttack> framing_attacks() {
  return {
      refused("two lengths", kOk + "Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde"),
      refused("the same length twice", kOk + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
      refused("a list of lengths", kOk + "Content-Length: 3, 5\r\n\r\nabcde"),
      refused("a negative length", kOk + "Content-Length: -1\r\n\r\nabc"),
      refused("a length with a sign", kOk + "Content-Length: +3\r\n\r\nabc"),
      refused("a hexadecimal length", kOk + "Content-Length: 0x3\r\n\r\nabc"),
      refused("a length with a tail", kOk + "Content-Length: 3x\r\n\r\nabc"),
      refused("an empty length", kOk + "Content-Length:\r\n\r\nabc"),
      refused("a length beyond 64 bits", kOk + "Content-Length: 18446744073709551619\r\n\r\nabc"),
      refused("length and chunks",
              kOk + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
      refused("chunks and length",
              kOk + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
      refused("an unknown transfer coding",
              kOk + "Transfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
      refused("a compressed transfer coding",
              kOk + "Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
      refused("chunks that are not the last coding",
              kOk + "Transfer-Encoding: chunked, identity\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
      refused("chunks twice", kOk + "Transfer-Encoding: chunked\r\nTransfer-Encoding: "
                                    "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
      misread_chunk("a negative chunk", "-3\r\nabc\r\n0\r\n\r\n"),
      refused_chunk("a chunk whose size is no number", "xyz\r\nabc\r\n0\r\n\r\n"),
      refused_chunk("a chunk with an empty size", "\r\nabc\r\n0\r\n\r\n"),
      refused_chunk("a chunk beyond 64 bits", "10000000000000003\r\nabc\r\n0\r\n\r\n"),
      refused_chunk("a chunk without its line end", "3\r\nabcX0\r\n\r\n"),
      misread_chunk("a chunk extension with a line end in quotes",
                    "3;x=\"\r\n\"\r\nabc\r\n0\r\n\r\n"),
      answered("more than the length says",
               kOk + "Content-Length: 3\r\n\r\nabc" + kOk + "Content-Length: 1\r\n\r\nX"),
      answered("more after the last chunk",
               kChunked + "3\r\nabc\r\n0\r\n\r\n" + kOk + "Content-Length: 1\r\n\r\nX"),
      answered("a length in the trailer",
               kChunked + "3\r\nabc\r\n0\r\nContent-Length: 100\r\n\r\n"),
      answered("a nonce in the trailer", kChunked + "3\r\nabc\r\n0\r\nDPoP-Nonce: evil\r\n\r\n"),
  };
}

std::vector<AnswerAttack> body_attacks() {
  const std::string flood_reason = "it reads a chunk whole: the byte budget under TLS ends it";
  const std::string trailer_reason =
      "it leaves trailers unread, and a connection with something left to say is not used again";
  const std::string big = kOk + "Content-Length: 1000000000\r\n\r\n";
  return {
      {{.name = "a body without end", .ending = text(kBodyTooLarge)}, floods(kOk + "\r\n", "x")},
      {{.name = "a body of a gigabyte", .ending = text(kBodyTooLarge)}, floods(big, "x")},
      {{.name = "chunks without end", .ending = text(kBodyTooLarge)},
       floods(kChunked, "400\r\n" + std::string(0x400, 'x') + "\r\n")},
      {{.name = "chunks of one byte without end", .ending = text(kFlooded)},
       floods(kChunked, "1\r\nx\r\n")},
      {{.name = "one chunk without end",
        .ending = text(kBodyTooLarge),
        .cpprest_ending = text(kFlooded),
        .cpprest_reason = flood_reason},
       floods(kChunked + "7fffffff\r\n", "x")},
      {{.name = "a chunk extension without end", .ending = text(kFlooded)},
       floods(kChunked + "3;x=", "x")},
      {{.name = "trailers without end",
        .ending = text(kHeadTooLarge),
        .cpprest_ending = "200",
        .cpprest_reason = trailer_reason},
       floods(kChunked + "0\r\n", "X: y\r\n")},
      {{.name = "a body one byte beyond the cap", .ending = text(kBodyTooLarge)},
       says(kOk + "Content-Length: " + std::to_string(kMaxBody + 1) + "\r\n\r\n" +
            std::string(kMaxBody + 1, 'x'))},
      {{.name = "a body that drips", .ending = text(kTimeout)},
       drips(kOk + "Content-Length: 9999\r\n\r\n", "x"),
       kAbove,
       kShort},
      {{.name = "a body without length that drips", .ending = text(kTimeout)},
       drips(kOk + "\r\n", "x"),
       kAbove,
       kShort},
      {{.name = "chunks that drip", .ending = text(kTimeout)},
       drips(kChunked, "1\r\nx\r\n"),
       kAbove,
       kShort},
      {{.name = "a chunk's size that drips", .ending = text(kTimeout)},
       drips(kChunked, "0"),
       kAbove,
       kShort},
      {{.name = "trailers that drip",
        .ending = text(kTimeout),
        .cpprest_ending = "200",
        .cpprest_reason = trailer_reason},
       drips(kChunked + "0\r\n", "X: y\r\n"),
       kAbove,
       kShort},
      {{.name = "a length with nothing after it", .ending = text(kTimeout)},
       says(kOk + "Content-Length: 10\r\n\r\n"),
       kAbove,
       kShort},
      {{.name = "a length that lies, and an end", .ending = text(kLost)},
       says_and_goes(kOk + "Content-Length: 10\r\n\r\nabc")},
      {{.name = "an end within a chunk", .ending = text(kLost)},
       says_and_goes(kChunked + "5\r\nab")},
      {{.name = "an end before the last chunk", .ending = text(kLost)},
       says_and_goes(kChunked + "2\r\nab\r\n")},
      {{.name = "a body that is cut off on the way", .ending = text(kLost)},
       [](Peer& peer) {
         peer.read_request();
         peer.write(kOk + "\r\n{\"sub\":\"did:plc:abc");
         peer.cut();
       }},
      {{.name = "a body that ends in a reset", .ending = text(kLost)},
       [](Peer& peer) {
         peer.read_request();
         peer.write(kOk + "Content-Length: 10\r\n\r\nabc");
         peer.reset();
       }},
      answered("a gzip bomb", kOk + "Content-Encoding: gzip\r\nContent-Length: 10\r\n\r\n" +
                                  std::string("\x1f\x8b\x08\0\0\0\0\0\0\x03", 10)),
      answered("a body in an unknown coding",
               kOk + "Content-Encoding: br, zstd, x\r\nContent-Length: 3\r\n\r\nabc"),
      answered("a cookie", kOk + "Set-Cookie: a=b; Domain=example\r\nContent-Length: 0\r\n\r\n"),
  };
}

}  // namespace latchkey::test
