// SPDX-License-Identifier: MIT
module;
#include <fcntl.h>
#include <openssl/ssl.h>
#include <signal.h>
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
#include <future>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>
module latchkey.loopback.listener;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.loopback.answer;
import latchkey.loopback.callback;
import latchkey.loopback.callback_request;
import latchkey.loopback.certificate;
import latchkey.loopback.pages;

namespace latchkey {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::milliseconds;

constexpr milliseconds kWriteTimeout{5'000};
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

struct Limits {
  std::size_t max_header;
  milliseconds read_timeout;
};

// Everything that a connection does happens on the loop's thread.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Done = std::function<void()>;

  Connection(tcp::socket socket, ssl::context* tls, const Limits& limits)
      : stream_(std::move(socket)), limits_(limits), buffer_(limits.max_header + 1) {
    if (tls != nullptr) tls_.emplace(stream_, *tls);
    parser_.header_limit(static_cast<std::uint32_t>(limits.max_header));
  }

  // Calls `on_request` when a request is there, or `on_end` when there will be none.
  void read(Done on_request, Done on_end) {
    on_request_ = std::move(on_request);
    on_end_ = std::move(on_end);
    // For the handshake and the request together.
    stream_.expires_after(limits_.read_timeout);
    if (!tls_) return read_header();
    tls_->async_handshake(ssl::stream_base::server, [self = shared_from_this()](error_code failed) {
      if (failed) return self->end();
      self->read_header();
    });
  }

  [[nodiscard]] const CallbackRequest& request() const noexcept { return request_; }

  // Writes it, tells `on_written` (whether it worked or not), and ends.
  void send(std::string bytes, Done on_written) {
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

  [[nodiscard]] bool is_answering() const noexcept { return !out_.empty(); }
  void hold_open() { stream_.expires_never(); }
  // A kept connection does not give way to newer ones.
  void set_kept(bool kept) noexcept { kept_ = kept; }
  [[nodiscard]] bool is_kept() const noexcept { return kept_; }
  void when_ended(Done on_end) { on_end_ = std::move(on_end); }

  void end() {
    stream_.close();
    on_request_ = nullptr;
    if (const auto on_end = std::exchange(on_end_, nullptr)) on_end();
  }

  // Unread bytes would make close() reset the connection, and the browser drop the page.
  void end_now() {
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
        size > limits_.max_header) {
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
  Limits limits_;
  beast::flat_buffer buffer_;
  http::request_parser<http::empty_body> parser_;
  CallbackRequest request_;
  Done on_request_, on_end_;
  std::string out_;
  std::array<char, 4096> sink_{};
  std::size_t drained_ = 0;
  bool kept_ = false;
};
using ConnectionPtr = std::shared_ptr<Connection>;

// The thread that serves. It lives as long as the listener or a held callback needs it.
class Loop : public std::enable_shared_from_this<Loop> {
 public:
  explicit Loop(const ListenerOptions& options)
      : limits_{options.max_header, options.read_timeout},
        max_connections_(options.max_connections),
        tls_(options.certificate ? tls_context(*options.certificate) : nullptr) {}
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop() {
    io_.stop();
    if (thread_.joinable()) thread_.join();
    for (const auto& connection : connections_) connection->end_now();
  }

  // Throws boost::system::system_error.
  std::uint16_t bind(const std::vector<std::string>& addresses, std::uint16_t port);
  void start(Listener::Handler handler);
  // When it returns, nothing of the listener's runs any more; connections that are being answered
  // go on.
  void close();
  void post(std::function<void()> task) { asio::post(io_, std::move(task)); }

  // On the loop's thread:
  void add(const ConnectionPtr& connection) {
    connections_.push_back(connection);
    connection->when_ended([this, raw = connection.get()] { remove(raw); });
  }
  void remove(const Connection* connection) {
    connections_.remove_if([&](const auto& other) { return other.get() == connection; });
  }
  asio::io_context& io() { return io_; }

 private:
  void run() noexcept;
  void accept(tcp::acceptor& acceptor);
  bool make_room();
  void serve(tcp::socket socket);

  Limits limits_;
  unsigned max_connections_;
  std::unique_ptr<ssl::context> tls_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(io_);
  std::list<tcp::acceptor> acceptors_;
  asio::steady_timer pause_{io_};
  std::list<ConnectionPtr> connections_;
  Listener::Handler handler_;
  std::thread thread_;
};

// A connection that was taken out: the browser waits for its page.
class TakenCallback final : public HeldCallback {
 public:
  TakenCallback(std::shared_ptr<Loop> loop, ConnectionPtr connection, std::string query)
      : loop_(std::move(loop)), connection_(std::move(connection)), query_(std::move(query)) {}
  ~TakenCallback() override {
    try {
      HeldCallback::answer(400, stray_page());
    } catch (const std::exception&) {
      // Out of memory for a page: the connection is closed without one.
    }
  }

  [[nodiscard]] std::string_view query() const noexcept override { return query_; }

  void answer(int status, const ResultPage& page) override {
    if (!connection_) return;
    auto bytes = http_answer(status, page);
    const auto done = std::make_shared<std::promise<void>>();
    loop_->post([loop = loop_.get(), connection = std::exchange(connection_, nullptr),
                 bytes = std::move(bytes), done]() mutable {
      loop->add(connection);
      connection->send(std::move(bytes), [done] { done->set_value(); });
    });
    // The write has its own deadline; more is not needed even if something goes wrong there.
    done->get_future().wait_for(2 * kWriteTimeout);
  }

 private:
  std::shared_ptr<Loop> loop_;
  ConnectionPtr connection_;
  std::string query_;
};

class ConnectionVisit final : public Visit, public std::enable_shared_from_this<ConnectionVisit> {
 public:
  ConnectionVisit(Loop& loop, ConnectionPtr connection)
      : loop_(loop), connection_(std::move(connection)), timer_(loop.io()) {}

  [[nodiscard]] const CallbackRequest& request() const noexcept override {
    return connection_->request();
  }
  [[nodiscard]] bool is_kept() const noexcept override { return connection_->is_kept(); }

  void reply(int status, const ResultPage& page) override {
    release();
    connection_->send(http_answer(status, page), nullptr);
  }

  void keep(milliseconds time, int status, const ResultPage& page) override {
    connection_->set_kept(true);
    connection_->hold_open();
    timer_.expires_after(time);
    timer_.async_wait([self = shared_from_this(), status, page](error_code failed) {
      if (!failed && self->is_kept()) self->reply(status, page);
    });
  }

  std::unique_ptr<HeldCallback> hold(std::string query) override {
    auto held =
        std::make_unique<TakenCallback>(loop_.shared_from_this(), connection_, std::move(query));
    release();
    connection_->hold_open();
    loop_.remove(connection_.get());
    return held;
  }

 private:
  void release() {
    connection_->set_kept(false);
    timer_.cancel();
  }

  Loop& loop_;
  ConnectionPtr connection_;
  asio::steady_timer timer_;
};

std::uint16_t Loop::bind(const std::vector<std::string>& addresses, std::uint16_t port) {
  acceptors_.clear();
  for (const auto& text : addresses) {
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

// The host program's signal handlers stay on its own threads.
void Loop::start(Listener::Handler handler) {
  handler_ = std::move(handler);
  for (auto& acceptor : acceptors_) accept(acceptor);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  struct Restore {
    const sigset_t& mask;
    ~Restore() { pthread_sigmask(SIG_SETMASK, &mask, nullptr); }
  } const restore{before};
  thread_ = std::thread([this] { run(); });
}

void Loop::run() noexcept {
  for (;;) {
    try {
      io_.run();
      return;
    } catch (const std::exception&) {
      // Out of memory in one connection's handler: its connection is lost, the others go on.
    }
  }
}

void Loop::close() {
  if (!thread_.joinable()) return;
  std::promise<void> closed;
  post([&] {
    handler_ = nullptr;
    acceptors_.clear();
    pause_.cancel();
    for (const auto& connection : std::list(connections_)) {
      if (!connection->is_answering()) connection->end();
    }
    closed.set_value();
  });
  closed.get_future().wait();
}

void Loop::accept(tcp::acceptor& acceptor) {
  acceptor.async_accept([this, &acceptor](error_code failed, tcp::socket socket) {
    if (!handler_) return;
    if (failed) {
      // Out of descriptors, most likely: trying again at once would spin.
      pause_.expires_after(kAcceptPause);
      pause_.async_wait([this, &acceptor](error_code) {
        if (handler_) accept(acceptor);
      });
      return;
    }
    close_on_exec(socket.native_handle());
    accept(acceptor);
    if (make_room()) serve(std::move(socket));
  });
}

// The oldest connection gives way: clients that are slow on purpose cannot keep the browser out.
bool Loop::make_room() {
  if (connections_.size() < max_connections_) return true;
  const auto oldest = std::find_if(connections_.begin(), connections_.end(),
                                   [](const auto& other) { return !other->is_kept(); });
  if (oldest == connections_.end()) return false;
  ConnectionPtr(*oldest)->end();
  return true;
}

void Loop::serve(tcp::socket socket) {
  const auto connection = std::make_shared<Connection>(std::move(socket), tls_.get(), limits_);
  connections_.push_back(connection);
  connection->read(
      [this, weak = std::weak_ptr(connection)] {
        if (handler_) handler_(std::make_shared<ConnectionVisit>(*this, weak.lock()));
      },
      [this, raw = connection.get()] { remove(raw); });
}

class LoopListener final : public Listener {
 public:
  LoopListener(std::shared_ptr<Loop> loop, std::uint16_t port)
      : loop_(std::move(loop)), port_(port) {}
  ~LoopListener() override { loop_->close(); }
  [[nodiscard]] std::uint16_t port() const noexcept override { return port_; }
  void start(Handler handler) override { loop_->start(std::move(handler)); }
  void post(std::function<void()> task) override { loop_->post(std::move(task)); }

 private:
  std::shared_ptr<Loop> loop_;
  std::uint16_t port_;
};

Error bind_error(const ListenerOptions& options, const std::string& why) {
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

// Any port that is free at one address may be taken at the next.
std::uint16_t bind_some(Loop& loop, const ListenerOptions& options) {
  for (int tries = 1;; ++tries) {
    try {
      return loop.bind(options.addresses, options.port);
    } catch (const boost::system::system_error&) {
      if (options.port != 0 || options.addresses.size() == 1 || tries == kPortTries) throw;
    }
  }
}

}  // namespace

Visit::~Visit() {}

Listener::~Listener() {}

Result<std::unique_ptr<Listener>> Listener::open(ListenerOptions options) {
  std::shared_ptr<Loop> loop;
  try {
    loop = std::make_shared<Loop>(options);
  } catch (const std::exception& failed) {
    return make_error(ErrorCode::invalid_argument, "loopback.certificate",
                      "cannot serve with the certificate: " + printable(failed.what(), 200) +
                          "; make one with a current key, such as mkcert's");
  }
  try {
    const auto port = bind_some(*loop, options);
    return std::unique_ptr<Listener>(std::make_unique<LoopListener>(std::move(loop), port));
  } catch (const std::exception& failed) {
    return bind_error(options, printable(failed.what(), 200));
  }
}

}  // namespace latchkey
