// SPDX-License-Identifier: MIT
module;
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>
module latchkey.test.raw_server;
import latchkey.test.certificate;

namespace latchkey::test {
namespace {

constexpr std::chrono::seconds kPatience{20};

void require(bool done, const char* what) {
  if (!done) throw std::runtime_error(std::string("raw server: ") + what);
}

struct Listener {
  int socket = -1;
  std::uint16_t port = 0;
};

struct Place {
  bool ipv6 = false;
  std::string address{};
  std::uint16_t port = 0;
};

Listener listen_on(const Place& place, int backlog) {
  const bool ipv6 = place.ipv6;
  Listener out;
  out.socket = ::socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  require(out.socket >= 0, "socket");
  const int again = 1;
  ::setsockopt(out.socket, SOL_SOCKET, SO_REUSEADDR, &again, sizeof again);
  sockaddr_in four{.sin_family = AF_INET,
                   .sin_port = htons(place.port),
                   .sin_addr = {htonl(INADDR_LOOPBACK)},
                   .sin_zero = {}};
  if (!place.address.empty())
    require(::inet_pton(AF_INET, place.address.c_str(), &four.sin_addr) == 1, "address");
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_addr = in6addr_loopback;
  auto* address = ipv6 ? reinterpret_cast<sockaddr*>(&six) : reinterpret_cast<sockaddr*>(&four);
  socklen_t size = ipv6 ? sizeof six : sizeof four;
  require(::bind(out.socket, address, size) == 0, "bind");
  require(::listen(out.socket, backlog) == 0, "listen");
  require(::getsockname(out.socket, address, &size) == 0, "getsockname");
  out.port = ntohs(ipv6 ? six.sin6_port : four.sin_port);
  return out;
}

// A write to a client that has gone must be an error of that write, in this thread only.
void block_sigpipe() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

std::size_t content_length(std::string_view head) {
  std::string lower(head);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const auto at = lower.find("\r\ncontent-length:");
  return at == std::string::npos ? 0 : std::strtoul(lower.c_str() + at + 17, nullptr, 10);
}

using TlsContext = std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)>;

TlsContext make_context(const RawServerOptions& options) {
  TlsContext out(nullptr, SSL_CTX_free);
  if (!options.identity) return out;
  out.reset(SSL_CTX_new(TLS_server_method()));
  const std::unique_ptr<BIO, int (*)(BIO*)> certificate_bio(
      BIO_new_mem_buf(options.identity->certificate_pem.data(), -1), BIO_free);
  const std::unique_ptr<BIO, int (*)(BIO*)> key_bio(
      BIO_new_mem_buf(options.identity->key_pem.data(), -1), BIO_free);
  const std::unique_ptr<X509, void (*)(X509*)> certificate(
      PEM_read_bio_X509(certificate_bio.get(), nullptr, nullptr, nullptr), X509_free);
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(
      PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
  require(SSL_CTX_use_certificate(out.get(), certificate.get()) == 1, "certificate");
  require(SSL_CTX_use_PrivateKey(out.get(), key.get()) == 1, "key");
  SSL_CTX_set_security_level(
      out.get(), 0);  // or OpenSSL would not offer TLS 1.1 to those who should refuse it
  SSL_CTX_set_min_proto_version(out.get(), TLS1_VERSION);
  if (options.highest_tls != 0) SSL_CTX_set_max_proto_version(out.get(), options.highest_tls);
  return out;
}

}  // namespace

class RawServer::Impl {
 public:
  Impl(Script play, RawServerOptions how)
      : script(std::move(play)),
        options(std::move(how)),
        context(make_context(options)),
        listener(listen_on({options.ipv6, options.address, options.port}, 64)) {
    acceptor = std::thread([this] { accept_all(); });
  }
  ~Impl() {
    {
      const std::lock_guard lock(mutex);
      ending = true;
      changed.notify_all();
      for (const int socket : open) ::shutdown(socket, SHUT_RDWR);
    }
    ::shutdown(listener.socket, SHUT_RDWR);
    acceptor.join();
    for (auto& worker : workers) worker.join();
    ::close(listener.socket);
  }

  void accept_all();
  void serve(int socket, std::size_t number);
  bool wait(std::function<bool()> fact) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, kPatience, std::move(fact));
  }

  Script script;
  RawServerOptions options;
  TlsContext context;
  Listener listener;
  std::mutex mutex;
  std::condition_variable changed;
  bool ending = false;       // under mutex
  std::vector<int> open;     // under mutex
  std::size_t accepted = 0;  // under mutex
  std::atomic<std::size_t> written = 0;
  std::vector<std::string> requests, server_names;  // under mutex
  std::vector<std::thread> workers;                 // the acceptor's, until it is joined
  std::thread acceptor;
};

class Peer::Impl {
 public:
  Impl(RawServer::Impl& owner, int fd, std::size_t count)
      : server(owner), socket(fd), number(count), tls(nullptr, SSL_free) {}

  bool shake_hands() {
    if (!server.context) return true;
    tls.reset(SSL_new(server.context.get()));
    SSL_set_fd(tls.get(), socket);
    if (SSL_accept(tls.get()) != 1) return false;
    const char* name = SSL_get_servername(tls.get(), TLSEXT_NAMETYPE_host_name);
    const std::lock_guard lock(server.mutex);
    server.server_names.emplace_back(name != nullptr ? name : "");
    return true;
  }
  bool read_more() {
    char data[16384];
    const auto got = tls ? SSL_read(tls.get(), data, sizeof data)
                         : static_cast<int>(::recv(socket, data, sizeof data, 0));
    if (got <= 0) return false;
    buffer.append(data, static_cast<std::size_t>(got));
    return true;
  }
  bool write(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto part = bytes.substr(0, 1U << 20);
      const auto sent =
          tls ? SSL_write(tls.get(), part.data(), static_cast<int>(part.size()))
              : static_cast<int>(::send(socket, part.data(), part.size(), MSG_NOSIGNAL));
      if (sent <= 0) return false;
      server.written += static_cast<std::size_t>(sent);
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  RawServer::Impl& server;
  int socket;
  std::size_t number;
  std::unique_ptr<SSL, void (*)(SSL*)> tls;
  std::string buffer;
  bool orderly = true;
};

void RawServer::Impl::accept_all() {
  for (;;) {
    const int socket = ::accept4(listener.socket, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) return;
    const timeval patience{.tv_sec = kPatience.count(), .tv_usec = 0};
    ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    const std::lock_guard lock(mutex);
    if (ending) {
      ::close(socket);
      return;
    }
    open.push_back(socket);
    workers.emplace_back([this, socket, number = accepted++] { serve(socket, number); });
    changed.notify_all();
  }
}

void RawServer::Impl::serve(int socket, std::size_t number) {
  block_sigpipe();
  Peer::Impl impl(*this, socket, number);
  Peer peer(impl);
  if (!options.shake_hands) {
    peer.wait_for_close();
  } else if (impl.shake_hands()) {
    script(peer);
    if (impl.tls && impl.orderly) SSL_shutdown(impl.tls.get());
  }
  impl.tls.reset();
  const std::lock_guard lock(mutex);
  std::erase(open, socket);
  ::close(socket);
  changed.notify_all();
}

std::string Peer::read_request() {
  auto& buffer = impl_.buffer;
  for (;;) {
    const auto end = buffer.find("\r\n\r\n");
    if (end != std::string::npos) {
      const auto size = end + 4 + content_length(std::string_view(buffer).substr(0, end + 2));
      if (buffer.size() >= size) {
        auto request = buffer.substr(0, size);
        buffer.erase(0, size);
        const std::lock_guard lock(impl_.server.mutex);
        impl_.server.requests.push_back(request);
        impl_.server.changed.notify_all();
        return request;
      }
    }
    if (!impl_.read_more()) return {};
  }
}

bool Peer::write(std::string_view bytes) {
  return impl_.write(bytes);
}

void Peer::wait_for_close() {
  while (impl_.read_more()) impl_.buffer.clear();
}

bool Peer::pause(std::chrono::milliseconds time) {
  std::unique_lock lock(impl_.server.mutex);
  return !impl_.server.changed.wait_for(lock, time, [this] { return impl_.server.ending; });
}

void Peer::reset() {
  const linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(impl_.socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  impl_.orderly = false;
}

void Peer::cut() {
  impl_.orderly = false;
}

std::size_t Peer::number() const {
  return impl_.number;
}

RawServer::RawServer(Script script, RawServerOptions options)
    : impl_(std::make_unique<Impl>(std::move(script), std::move(options))) {}
RawServer::~RawServer() = default;

std::uint16_t RawServer::port() const {
  return impl_->listener.port;
}

std::string RawServer::origin(const std::string& host) const {
  return (impl_->context ? "https://" : "http://") + host + ":" + std::to_string(port());
}

std::size_t RawServer::connections() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->accepted;
}

std::vector<std::string> RawServer::requests() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->requests;
}

std::size_t RawServer::bytes_written() const {
  return impl_->written;
}

std::vector<std::string> RawServer::server_names() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->server_names;
}

bool RawServer::wait_for_requests(std::size_t count) const {
  return impl_->wait([&] { return impl_->requests.size() >= count; });
}

bool RawServer::wait_for_connections(std::size_t count) const {
  return impl_->wait([&] { return impl_->accepted >= count; });
}

bool RawServer::wait_until_idle() const {
  return impl_->wait([&] { return impl_->open.empty(); });
}

SilentPort::SilentPort() {
  const auto listener = listen_on({}, 0);
  port_ = listener.port;
  sockets_.push_back(listener.socket);
  // Once the queue is full, the kernel drops further connection requests without a word.
  for (int i = 0; i < 4; ++i) {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    require(socket >= 0, "socket");
    sockets_.push_back(socket);
    const sockaddr_in to{.sin_family = AF_INET,
                         .sin_port = htons(port_),
                         .sin_addr = {htonl(INADDR_LOOPBACK)},
                         .sin_zero = {}};
    static_cast<void>(::connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof to));
  }
}

SilentPort::~SilentPort() {
  for (const int socket : sockets_) ::close(socket);
}

std::uint16_t closed_port() {
  const auto listener = listen_on({}, 1);
  ::close(listener.socket);
  return listener.port;
}

std::string ok_answer(std::string_view body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body);
}

}  // namespace latchkey::test
