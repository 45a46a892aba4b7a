// SPDX-License-Identifier: MIT
module;
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.loopback.sockets;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.loopback.answer;
import latchkey.loopback.callback_request;
import latchkey.loopback.certificate;

namespace latchkey {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::milliseconds;

constexpr milliseconds kDrainTimeout{1'000};
constexpr milliseconds kAcceptPause{50};
constexpr std::size_t kMaxDrain = 256 * 1024;
constexpr int kPortTries = 16;

// Strings come from Beast as boost::string_view.
std::string_view std_view(beast::string_view text) {
  return {text.data(), text.size()};
}

// Asio's sockets are inherited by programs that the host starts.
void close_on_exec(int descriptor) {
  (void)::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
}

std::unique_ptr<ssl::context> tls_context(const TlsCertificate& certificate) {
  auto context = std::make_unique<ssl::context>(ssl::context::tls_server);
  const auto& chain = certificate.chain_pem();
  const auto key = certificate.key_pem().expose();
  context->use_certificate_chain(asio::buffer(chain));
  context->use_private_key(asio::buffer(key.data(), key.size()), ssl::context::pem);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  // One request each: nothing to resume.
  SSL_CTX_set_session_cache_mode(context->native_handle(), SSL_SESS_CACHE_OFF);
  context->set_options(SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  return context;
}

CallbackRequest callback_request(const http::request<http::empty_body>& request) {
  CallbackRequest out{.method = std::string(std_view(request.method_string())),
                      .target = std::string(std_view(request.target())),
                      .hosts = {},
                      .origins = {},
                      .fetch_destination = std::string(std_view(request["Sec-Fetch-Dest"])),
                      .purposes = {}};
  const auto add_all = [&](std::vector<std::string>& to, const char* name) {
    for (auto [field, end] = request.equal_range(name); field != end; ++field) {
      to.emplace_back(std_view(field->value()));
    }
  };
  add_all(out.hosts, "Host");
  add_all(out.origins, "Origin");
  for (const auto* name : {"Purpose", "Sec-Purpose", "X-Purpose", "X-Moz"}) {
    add_all(out.purposes, name);
  }
  return out;
}

class BeastConnection final : public Connection,
                              public std::enable_shared_from_this<BeastConnection> {
 public:
  BeastConnection(tcp::socket socket, ssl::context* tls, const SocketOptions& options)
      : stream_(std::move(socket)),
        read_timeout_(options.read_timeout),
        max_header_(options.max_header),
        buffer_(options.max_header + 1),
        timer_(stream_.get_executor()) {
    // Else the goodbye of TLS waits for the page to be acknowledged.
    error_code ignored;
    stream_.socket().set_option(tcp::no_delay(true), ignored);
    if (tls != nullptr) tls_.emplace(stream_, *tls);
    parser_.header_limit(static_cast<std::uint32_t>(max_header_));
  }

  void read(Done on_request) override {
    on_request_ = std::move(on_request);
    stream_.expires_after(read_timeout_);
    if (!tls_) return read_header();
    tls_->async_handshake(ssl::stream_base::server, [self = shared_from_this()](error_code failed) {
      if (failed) return self->end();
      self->read_header();
    });
  }

  [[nodiscard]] const CallbackRequest& request() const noexcept override { return request_; }

  void send(std::string bytes, Done on_written) override {
    release();
    out_ = std::move(bytes);
    stream_.expires_after(kWriteTimeout);
    with_stream([&](auto& stream) {
      asio::async_write(stream, asio::buffer(out_),
                        [self = shared_from_this(), on_written = std::move(on_written)](
                            error_code failed, std::size_t) {
                          if (!failed) self->say_goodbye();
                          if (on_written) on_written();
                          if (failed) self->end();
                        });
    });
  }

  [[nodiscard]] bool is_answering() const noexcept override { return !out_.empty(); }
  void hold_open() override { stream_.expires_never(); }

  void keep(milliseconds time, Done on_over) override {
    hold_open();
    kept_ = true;
    timer_.expires_after(time);
    timer_.async_wait([self = shared_from_this(), on_over = std::move(on_over)](error_code failed) {
      if (!failed && self->kept_) on_over();
    });
  }
  [[nodiscard]] bool is_kept() const noexcept override { return kept_; }
  void release() override {
    kept_ = false;
    timer_.cancel();
  }

  void when_ended(Done on_end) override { on_end_ = std::move(on_end); }
  void end() override {
    release();
    stream_.close();
    on_request_ = nullptr;
    if (const auto on_end = std::exchange(on_end_, nullptr)) on_end();
  }

  // Unread bytes would make close() reset the connection, and the browser drop the page.
  void end_softly() override {
    error_code failed;
    auto& socket = stream_.socket();
    socket.shutdown(tcp::socket::shutdown_send, failed);
    socket.non_blocking(true, failed);
    while (!failed && drained_ < kMaxDrain) {
      drained_ += socket.read_some(asio::buffer(sink_), failed);
    }
    stream_.close();
  }

 private:
  template <class Use>
  void with_stream(const Use& use) {
    if (tls_) {
      use(*tls_);
    } else {
      use(stream_);
    }
  }

  void read_header() {
    with_stream([this](auto& stream) {
      http::async_read_header(stream, buffer_, parser_,
                              [self = shared_from_this()](error_code failed, std::size_t size) {
                                self->on_header(failed, size);
                              });
    });
  }

  void on_header(error_code failed, std::size_t size) {
    // Beast's limit is for the request line and for the fields, each.
    if (failed == http::error::header_limit || failed == http::error::buffer_overflow ||
        size > max_header_) {
      return refuse(431, "Request header fields too large");
    }
    // Beast's own errors before the end of the stream are all about what was sent.
    if (failed && failed.category() == make_error_code(http::error::bad_method).category() &&
        failed != http::error::end_of_stream && failed != http::error::partial_message) {
      return refuse(400, "Bad request");
    }
    if (failed) return end();
    request_ = callback_request(parser_.get());
    if (const auto on_request = std::exchange(on_request_, nullptr)) on_request();
  }

  void refuse(int status, std::string_view title) {
    send(http_answer(status, plain_page({}, title)), nullptr);
  }

  // Reads what the client still sends, so that closing does not reset the answer away.
  void say_goodbye() {
    stream_.expires_after(kDrainTimeout);
    if (!tls_) return drain();
    // Its first half, the close_notify, is on its way when this returns; then it waits for the
    // client's.
    tls_->async_shutdown([self = shared_from_this()](error_code) { self->drain(); });
  }

  void drain() {
    error_code failed;
    stream_.socket().shutdown(tcp::socket::shutdown_send, failed);
    drain_more();
  }

  void drain_more() {
    stream_.async_read_some(asio::buffer(sink_),
                            [self = shared_from_this()](error_code failed, std::size_t size) {
                              self->drained_ += size;
                              if (failed || self->drained_ > kMaxDrain) return self->end();
                              self->drain_more();
                            });
  }

  beast::tcp_stream stream_;
  std::optional<ssl::stream<beast::tcp_stream&>> tls_;
  milliseconds read_timeout_;
  std::size_t max_header_;
  beast::flat_buffer buffer_;
  http::request_parser<http::empty_body> parser_;
  asio::steady_timer timer_;
  CallbackRequest request_;
  Done on_request_, on_end_;
  std::string out_;
  std::array<char, 4096> sink_{};
  std::size_t drained_ = 0;
  bool kept_ = false;
};

class BeastSockets final : public Sockets {
 public:
  explicit BeastSockets(const SocketOptions& options)
      : options_(options),
        tls_(options.certificate ? tls_context(*options.certificate) : nullptr) {}

  // Throws boost::system::system_error.
  void bind();

  [[nodiscard]] std::uint16_t port() const noexcept override { return port_; }
  void accept(OnConnection on_connection) override {
    on_connection_ = std::move(on_connection);
    for (auto& acceptor : acceptors_) accept(acceptor);
  }
  void close() override {
    on_connection_ = nullptr;
    acceptors_.clear();
    pause_.cancel();
  }
  void post(std::function<void()> task) override { asio::post(io_, std::move(task)); }
  void run() noexcept override;
  void stop() override { io_.stop(); }

 private:
  std::uint16_t bind_once();
  void accept(tcp::acceptor& acceptor);
  void accept_later(tcp::acceptor& acceptor);

  SocketOptions options_;
  std::unique_ptr<ssl::context> tls_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(io_);
  std::list<tcp::acceptor> acceptors_;
  asio::steady_timer pause_{io_};
  std::uint16_t port_ = 0;
  OnConnection on_connection_;
};

// Any port that is free at one address may be taken at the next.
void BeastSockets::bind() {
  const int tries = options_.port == 0 && options_.addresses.size() > 1 ? kPortTries : 1;
  for (int left = tries; port_ == 0; --left) {
    try {
      port_ = bind_once();
    } catch (const boost::system::system_error&) {
      if (left == 1) throw;
    }
  }
}

std::uint16_t BeastSockets::bind_once() {
  auto port = options_.port;
  acceptors_.clear();
  for (const auto& text : options_.addresses) {
    const auto address = asio::ip::make_address(text);
    const tcp::endpoint endpoint(address, port);
    try {
      tcp::acceptor acceptor(io_, endpoint.protocol());
      close_on_exec(acceptor.native_handle());
      if (address.is_v6()) acceptor.set_option(asio::ip::v6_only(true));
      acceptor.set_option(tcp::acceptor::reuse_address(true));
      acceptor.bind(endpoint);
      acceptor.listen();
      port = acceptor.local_endpoint().port();
      acceptors_.push_back(std::move(acceptor));
    } catch (const boost::system::system_error& failed) {
      const bool absent = failed.code() == asio::error::address_family_not_supported ||
                          failed.code() == boost::system::errc::address_not_available;
      if (!absent || acceptors_.empty()) throw;
    }
  }
  return port;
}

void BeastSockets::run() noexcept {
  for (;;) {
    try {
      io_.run();
      return;
    } catch (const std::exception&) {
      // Out of memory in one connection's handler: its connection is lost, the others go on.
    }
  }
}

void BeastSockets::accept(tcp::acceptor& acceptor) {
  acceptor.async_accept([this, &acceptor](error_code failed, tcp::socket socket) {
    if (!on_connection_) return;  // closed: there is no acceptor any more
    if (failed) return accept_later(acceptor);
    close_on_exec(socket.native_handle());
    accept(acceptor);
    on_connection_(std::make_shared<BeastConnection>(std::move(socket), tls_.get(), options_));
  });
}

// Out of descriptors, most likely: trying again at once would spin.
void BeastSockets::accept_later(tcp::acceptor& acceptor) {
  pause_.expires_after(kAcceptPause);
  pause_.async_wait([this, &acceptor](error_code) {
    if (on_connection_) accept(acceptor);
  });
}

Error bind_error(const SocketOptions& options, const std::string& why) {
  const auto port = std::to_string(options.port);
  return make_error(
      ErrorCode::io, "loopback.bind",
      "cannot listen on " + options.addresses.front() +
          (options.port == 0 ? std::string() : " port " + port) + ": " + why +
          (options.port == 0
               ? std::string("; check this machine's loopback network")
               : "; end the program that uses port " + port +
                     ", or use another one, which the server must know if it checks ports"));
}

}  // namespace

Connection::~Connection() {}

Sockets::~Sockets() {}

Result<std::unique_ptr<Sockets>> Sockets::open(const SocketOptions& options) {
  std::unique_ptr<BeastSockets> sockets;
  try {
    sockets = std::make_unique<BeastSockets>(options);
  } catch (const std::exception& failed) {
    ERR_clear_error();
    return make_error(ErrorCode::invalid_argument, "loopback.certificate",
                      "cannot serve with the certificate: " + printable(failed.what(), 200) +
                          "; make one with a current key, such as mkcert's");
  }
  try {
    sockets->bind();
  } catch (const std::exception& failed) {
    return bind_error(options, printable(failed.what(), 200));
  }
  return std::unique_ptr<Sockets>(std::move(sockets));
}

}  // namespace latchkey
