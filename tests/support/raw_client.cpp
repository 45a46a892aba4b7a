// SPDX-License-Identifier: MIT
module;
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
module latchkey.test.raw_client;
import latchkey.core.owned;

namespace latchkey::test {
namespace {

using Context = Owned<SSL_CTX, SSL_CTX_free>;

int connect_to(std::uint16_t port, const std::string& address) {
  const bool six = address.find(':') != std::string::npos;
  const int socket = ::socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval limit{.tv_sec = 10, .tv_usec = 0};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  const bool there =
      six ? ::inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr) == 1 &&
                ::connect(socket, reinterpret_cast<const sockaddr*>(&v6), sizeof v6) == 0
          : ::inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1 &&
                ::connect(socket, reinterpret_cast<const sockaddr*>(&v4), sizeof v4) == 0;
  if (there) return socket;
  ::close(socket);
  return -1;
}

Context client_context(const std::string& authority_pem, int newest) {
  Context context(SSL_CTX_new(TLS_client_method()));
  const Owned<BIO, BIO_free> bio(
      BIO_new_mem_buf(authority_pem.data(), static_cast<int>(authority_pem.size())));
  const Owned<X509, X509_free> authority(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), authority.get());
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  // Old versions are offered only if asked for: the server is to refuse them, not we.
  SSL_CTX_set_security_level(context.get(), 0);
  SSL_CTX_set_min_proto_version(context.get(), newest);
  SSL_CTX_set_max_proto_version(context.get(), newest);
  return context;
}

bool is_address(const std::string& host) {
  std::array<unsigned char, 16> scratch{};
  return ::inet_pton(AF_INET, host.c_str(), scratch.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), scratch.data()) == 1;
}

}  // namespace

bool has_ipv6_loopback() {
  const int socket = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return false;
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  const bool bound =
      ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(socket);
  return bound;
}

class RawClient::Tls {
 public:
  Tls(int socket, const std::string& authority_pem, const std::string& host, int newest)
      : context_(client_context(authority_pem, newest)), session_(SSL_new(context_.get())) {
    SSL_set_fd(session_.get(), socket);
    if (is_address(host)) {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session_.get()), host.c_str());
    } else {
      SSL_set1_host(session_.get(), host.c_str());
      SSL_set_tlsext_host_name(session_.get(), host.c_str());
    }
  }
  ~Tls() { ERR_clear_error(); }
  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;
  [[nodiscard]] bool connect() const { return SSL_connect(session_.get()) == 1; }
  [[nodiscard]] ssize_t send(std::string_view bytes) const {
    return SSL_write(session_.get(), bytes.data(), static_cast<int>(bytes.size()));
  }
  [[nodiscard]] std::string read_all() const {
    std::string out;
    std::array<char, 4096> buffer{};
    for (;;) {
      const int size = SSL_read(session_.get(), buffer.data(), buffer.size());
      if (size <= 0) return out + ending(SSL_get_error(session_.get(), size));
      out.append(buffer.data(), static_cast<std::size_t>(size));
    }
  }

 private:
  static const char* ending(int error) {
    if (error == SSL_ERROR_ZERO_RETURN) return "";
    if (error == SSL_ERROR_WANT_READ) return "(timed out)";
    return error == SSL_ERROR_SYSCALL && errno == ECONNRESET ? "(reset)" : "(cut off)";
  }
  Context context_;
  Owned<SSL, SSL_free> session_;
};

RawClient::RawClient(std::uint16_t port, const std::string& address)
    : socket_(connect_to(port, address)) {}

RawClient::RawClient(RawClient&& other) noexcept
    : tls_(std::move(other.tls_)), socket_(std::exchange(other.socket_, -1)) {}

RawClient::~RawClient() {
  close();
}

bool RawClient::start_tls(const std::string& authority_pem, const std::string& host, int newest) {
  tls_ = std::make_unique<Tls>(socket_, authority_pem, host, newest);
  if (tls_->connect()) return true;
  close();
  return false;
}

RawClient& RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent =
        tls_ ? tls_->send(bytes) : ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) break;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return *this;
}

std::string RawClient::read_all() {
  if (tls_) return tls_->read_all();
  std::string out;
  std::array<char, 4096> buffer{};
  for (;;) {
    const auto size = ::recv(socket_, buffer.data(), buffer.size(), 0);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return out + "(timed out)";
    if (size < 0) return out + "(reset)";
    if (size == 0) return out;
    out.append(buffer.data(), static_cast<std::size_t>(size));
  }
}

bool RawClient::has_news() const {
  pollfd watched{.fd = socket_, .events = POLLIN, .revents = 0};
  return ::poll(&watched, 1, 0) > 0;
}

void RawClient::close() {
  tls_.reset();
  if (socket_ >= 0) ::close(std::exchange(socket_, -1));
}

void RawClient::abort() {
  const linger hard{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  close();
}

}  // namespace latchkey::test
