// SPDX-License-Identifier: MIT
module;
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
module latchkey.test.postgres_proxy;

namespace latchkey::test {
namespace {

constexpr int kLook = 50;  // milliseconds between two looks at whether it is ending

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// Empty when the other side is gone.
std::string receive(int socket) {
  std::string bytes(65'536, '\0');
  const auto size = ::recv(socket, bytes.data(), bytes.size(), 0);
  bytes.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return bytes;
}

// False when there is nothing to send, or nobody to send it to.
bool send_all(int socket, std::string_view bytes) {
  if (bytes.empty()) return false;
  while (!bytes.empty()) {
    const auto sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

}  // namespace

PostgresProxy::PostgresProxy(std::uint16_t server)
    : server_(server), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof(address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_, generic, size) != 0 || ::listen(listener_, 64) != 0 ||
      ::getsockname(listener_, generic, &size) != 0) {
    throw std::runtime_error("the proxy cannot listen");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::jthread([this] { serve(); });
}

PostgresProxy::~PostgresProxy() {
  is_ending_ = true;
  thread_.join();
  relays_.clear();
  ::close(listener_);
}

void PostgresProxy::cut_question_with(std::string text) {
  const std::lock_guard lock(mutex_);
  question_ = std::move(text);
}

void PostgresProxy::cut_answer_with(std::string text) {
  const std::lock_guard lock(mutex_);
  answer_ = std::move(text);
}

void PostgresProxy::cut_answer_to(std::string text) {
  const std::lock_guard lock(mutex_);
  answered_ = std::move(text);
}

void PostgresProxy::serve() {
  pollfd waiting{listener_, POLLIN, 0};
  while (!is_ending_) {
    if (::poll(&waiting, 1, kLook) <= 0) continue;
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    ++connections_;
    relays_.emplace_back([this, client] { relay(client); });
  }
}

void PostgresProxy::relay(int client) {
  const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(server_);
  bool goes_on = ::connect(server, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  bool loses_answer = false;
  std::array<pollfd, 2> sides{{{client, POLLIN, 0}, {server, POLLIN, 0}}};
  while (goes_on && !is_ending_) {
    if (::poll(sides.data(), sides.size(), kLook) <= 0) continue;
    if (sides[0].revents != 0) {
      const auto question = receive(client);
      loses_answer = loses_answer || is_met(answered_, question);
      goes_on = !is_met(question_, question) && send_all(server, question);
    }
    if (goes_on && sides[1].revents != 0) {
      const auto answer = receive(server);
      goes_on = !loses_answer && !is_met(answer_, answer) && send_all(client, answer);
    }
  }
  ::close(server);
  ::close(client);
}

bool PostgresProxy::is_met(std::string& wanted, std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  if (wanted.empty() || bytes.find(wanted) == std::string_view::npos) return false;
  wanted.clear();
  ++cuts_;
  return true;
}

}  // namespace latchkey::test
