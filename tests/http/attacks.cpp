// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <string>
#include <utility>
module latchkey.test.attacks;
import latchkey.test.raw_server;

namespace latchkey::test {

RawServer::Script says(std::string bytes) {
  return [bytes = std::move(bytes)](Peer& peer) {
    peer.read_request();
    peer.write(bytes);
    peer.wait_for_close();
  };
}

RawServer::Script says_and_goes(std::string bytes) {
  return [bytes = std::move(bytes)](Peer& peer) {
    peer.read_request();
    peer.write(bytes);
  };
}

RawServer::Script floods(std::string start, std::string part) {
  while (part.size() < 4096) part += part;  // few system calls
  return [start = std::move(start), part = std::move(part)](Peer& peer) {
    peer.read_request();
    peer.write(start);
    for (std::size_t written = 0; written < kFlood && peer.write(part);) written += part.size();
    peer.wait_for_close();
  };
}

RawServer::Script drips(std::string start, std::string part) {
  return [start = std::move(start), part = std::move(part)](Peer& peer) {
    peer.read_request();
    peer.write(start);
    while (peer.pause(std::chrono::milliseconds(20)) && peer.write(part)) continue;
  };
}

}  // namespace latchkey::test
