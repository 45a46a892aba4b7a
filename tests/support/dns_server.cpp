// SPDX-License-Identifier: MIT
module;
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>
module latchkey.test.dns_server;

namespace latchkey::test {
namespace {

constexpr std::size_t kHeader = 12;

void require(bool done, const char* what) {
  if (!done) throw std::runtime_error(std::string("DNS server: ") + what);
}

// A UDP socket on a free port.
int bound_socket() {
  const int made = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  require(made >= 0 && ::bind(made, reinterpret_cast<const sockaddr*>(&here), sizeof here) == 0,
          "no socket");
  return made;
}

std::uint16_t port_of(int descriptor) {
  sockaddr_in here{};
  socklen_t size = sizeof here;
  require(::getsockname(descriptor, reinterpret_cast<sockaddr*>(&here), &size) == 0, "no port");
  return ntohs(here.sin_port);
}

std::string address_with(std::uint16_t port) {
  return "127.0.0.1:" + std::to_string(port);
}

}  // namespace

DnsServer::DnsServer(const std::vector<std::string>& lines) {
  std::string text =
      "no-resolv\nno-hosts\nbind-interfaces\nlisten-address=127.0.0.1\nlocal=/test/\n";
  for (const auto& line : lines) text += line + '\n';
  write_text(folder_.path() / "dnsmasq.conf", text);
  // The port that was free may be somebody else's by the time it is used.
  for (int tries = 0; tries < 5; ++tries) {
    if (start()) return;
  }
  throw std::runtime_error("dnsmasq does not start; is dnsmasq-base installed?");
}

bool DnsServer::start() {
  const int probe = bound_socket();
  port_ = port_of(probe);
  ::close(probe);
  child_ = std::make_unique<ChildProcess>(std::vector<std::string>{
      "/bin/sh", "-c",
      "PATH=$PATH:/usr/sbin exec dnsmasq -k --log-facility=- --user=root --pid-file= -C \"$0\" "
      "--port=\"$1\" 2>&1",
      (folder_.path() / "dnsmasq.conf").string(), std::to_string(port_)});
  for (auto line = child_->read_line(); !line.empty(); line = child_->read_line()) {
    if (line.find("started") != std::string::npos) return true;
  }
  return false;
}

std::string DnsServer::address() const {
  return address_with(port_);
}

UdpServer::UdpServer(Script script)
    : script_(std::move(script)), socket_(bound_socket()), waker_(::eventfd(0, EFD_CLOEXEC)) {
  thread_ = std::thread([this] { run(); });
}

UdpServer::~UdpServer() {
  const std::uint64_t one = 1;
  static_cast<void>(::write(waker_, &one, sizeof one) == sizeof one);
  thread_.join();
  ::close(socket_);
  ::close(waker_);
}

void UdpServer::run() {
  for (;;) {
    std::array<pollfd, 2> polled{{{.fd = waker_, .events = POLLIN, .revents = 0},
                                  {.fd = socket_, .events = POLLIN, .revents = 0}}};
    if (::poll(polled.data(), polled.size(), -1) < 0) continue;
    if (polled[0].revents != 0) return;
    std::array<char, 2048> buffer{};
    sockaddr_in from{};
    socklen_t from_size = sizeof from;
    const auto size = ::recvfrom(socket_, buffer.data(), buffer.size(), 0,
                                 reinterpret_cast<sockaddr*>(&from), &from_size);
    if (size < 0) continue;
    const std::string packet(buffer.data(), static_cast<std::size_t>(size));
    {
      const std::scoped_lock lock(mutex_);
      packets_.push_back(packet);
    }
    const auto reply = script_(packet);
    if (reply.empty()) continue;
    static_cast<void>(::sendto(socket_, reply.data(), reply.size(), 0,
                               reinterpret_cast<const sockaddr*>(&from), from_size));
  }
}

std::string UdpServer::address() const {
  return address_with(port_of(socket_));
}

std::vector<std::string> UdpServer::packets() const {
  const std::scoped_lock lock(mutex_);
  return packets_;
}

ResettingPort::ResettingPort(const std::string& address)
    : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      waker_(::eventfd(0, EFD_CLOEXEC)) {
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  here.sin_port =
      htons(static_cast<std::uint16_t>(std::stoul(address.substr(address.find(':') + 1))));
  require(::bind(listener_, reinterpret_cast<const sockaddr*>(&here), sizeof here) == 0 &&
              ::listen(listener_, 8) == 0,
          "no TCP port");
  thread_ = std::thread([this] { run(); });
}

ResettingPort::~ResettingPort() {
  const std::uint64_t one = 1;
  static_cast<void>(::write(waker_, &one, sizeof one) == sizeof one);
  thread_.join();
  ::close(listener_);
  ::close(waker_);
}

void ResettingPort::run() {
  for (;;) {
    std::array<pollfd, 2> polled{{{.fd = waker_, .events = POLLIN, .revents = 0},
                                  {.fd = listener_, .events = POLLIN, .revents = 0}}};
    if (::poll(polled.data(), polled.size(), -1) < 0) continue;
    if (polled[0].revents != 0) return;
    const int peer = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (peer < 0) continue;
    const linger none{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(peer, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    ::shutdown(peer, SHUT_WR);
    ::close(peer);
    ++resets_;
  }
}

std::string dns_answer(std::string query, unsigned char code) {
  query.at(2) = static_cast<char>(query.at(2) | 0x80);  // it is a response
  query.at(3) = static_cast<char>(0x80 | code);         // recursion available
  return query;
}

std::string dns_question(const std::string& query) {
  std::string name;
  for (auto at = kHeader; query.at(at) != 0;) {
    const auto size = static_cast<unsigned char>(query.at(at));
    name += (name.empty() ? "" : ".") + query.substr(at + 1, size);
    at += size + 1U;
  }
  return name;
}

}  // namespace latchkey::test
