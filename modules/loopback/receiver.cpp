// SPDX-License-Identifier: MIT
module;
#include <fcntl.h>
#include <signal.h>
#include <algorithm>
#include <array>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
module latchkey.loopback.receiver;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.loopback.callback;
import latchkey.loopback.pages;

namespace latchkey {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

using Request = http::request<http::empty_body>;
using Response = http::response<http::string_body>;

constexpr milliseconds kWriteTimeout{5'000};
constexpr milliseconds kDrainTimeout{1'000};
constexpr milliseconds kAcceptPause{50};
constexpr std::size_t kMaxDrain = 256 * 1024;
constexpr std::chrono::hours kLongestWait{24};

// Strings come from Beast as boost::string_view.
std::string_view std_view(beast::string_view text) {
  return {text.data(), text.size()};
}

// Asio's sockets are inherited by programs that the host starts.
void close_on_exec(int descriptor) {
  (void)::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
}

Response make_response(int status, std::string_view html) {
  Response response;
  response.result(static_cast<unsigned>(status));
  response.set(http::field::content_type, "text/html; charset=utf-8");
  response.set(http::field::cache_control, "no-store");
  response.set("Content-Security-Policy",
               "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action "
               "'none'; frame-ancestors 'none'");
  response.set("Referrer-Policy", "no-referrer");
  response.set("X-Content-Type-Options", "nosniff");
  response.set("X-Frame-Options", "DENY");
  if (status == 405) response.set(http::field::allow, "GET");
  response.body().assign(html);
  response.keep_alive(false);
  response.prepare_payload();
  return response;
}

std::string plain_page(std::string_view text) {
  const auto escaped = escape_html(text);
  return "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>" + escaped +
         "</title><p>" + escaped + "</p></html>\n";
}

// The browser's socket, taken out of the receiver's loop: so it may outlive the receiver, and
// answering needs no thread but the caller's.
class SocketCallback final : public HeldCallback {
 public:
  SocketCallback(tcp::socket::native_handle_type socket, std::string query)
      : stream_(io_), query_(std::move(query)) {
    error_code failed;
    stream_.socket().assign(tcp::v4(), socket, failed);
  }
  // No browser to answer any more, but its query still counts.
  explicit SocketCallback(std::string query) : stream_(io_), query_(std::move(query)) {}
  ~SocketCallback() override {
    try {
      HeldCallback::answer(400, stray_page());
    } catch (const std::exception&) {
      // Out of memory for a page: the socket is closed without one.
    }
  }

  [[nodiscard]] std::string_view query() const noexcept override { return query_; }

  void answer(int status, const ResultPage& page) override {
    if (answered_) return;
    answered_ = true;
    auto response = make_response(status, page.html);
    bool written = false;
    stream_.expires_after(kWriteTimeout);
    http::async_write(stream_, response,
                      [&](error_code failed, std::size_t) { written = !failed; });
    try {
      io_.run();
    } catch (const std::exception&) {
      written = false;
    }
    if (written) finish();
    stream_.close();
  }

 private:
  // Unread bytes would make close() reset the connection, and the browser drop the page.
  void finish() {
    error_code failed;
    auto& socket = stream_.socket();
    socket.shutdown(tcp::socket::shutdown_send, failed);
    socket.non_blocking(true, failed);
    std::array<char, 4096> sink{};
    for (std::size_t total = 0; !failed && total < kMaxDrain;) {
      total += socket.read_some(asio::buffer(sink), failed);
    }
  }

  asio::io_context io_{1};
  beast::tcp_stream stream_;
  std::string query_;
  bool answered_ = false;
};

struct Connection {
  Connection(tcp::socket socket, const ReceiverOptions& options)
      : stream(std::move(socket)), buffer(options.max_header + 1), hold(stream.get_executor()) {
    parser.header_limit(static_cast<std::uint32_t>(options.max_header));
  }
  beast::tcp_stream stream;
  beast::flat_buffer buffer;
  http::request_parser<http::empty_body> parser;
  Response response;
  asio::steady_timer hold;
  std::array<char, 4096> sink{};
  std::size_t drained = 0;
  std::string query;
  bool undecided = false;  // a callback that arrived before anyone waited for it
};
using ConnectionPtr = std::shared_ptr<Connection>;

enum class Verdict { taken, stray, spent, undecided };

// What wait() and the loop's thread share.
class Desk {
 public:
  // Called by the loop. `hold` makes the HeldCallback once the query is known to be the right one.
  template <class Hold>
  Verdict judge(std::string_view query, const Hold& hold) {
    const std::scoped_lock lock(mutex_);
    if (taken_) return Verdict::spent;
    if (!expected_) return Verdict::undecided;
    if (!matches(query, *expected_)) {
      ++strays_;
      changed_.notify_all();
      return Verdict::stray;
    }
    held_ = hold();
    taken_ = true;
    expected_.reset();
    changed_.notify_all();
    return Verdict::taken;
  }

  void expect(std::string_view state) {
    const std::scoped_lock lock(mutex_);
    expected_ = std::string(state);
    taken_ = false;
    strays_ = 0;
    held_.reset();
  }

  Result<std::unique_ptr<HeldCallback>> collect(steady_clock::time_point deadline,
                                                const std::stop_token& stop,
                                                const std::function<void()>& on_stray) {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait_until(lock, stop, deadline, [&] { return held_ != nullptr || strays_ > 0; });
      if (strays_ > 0) {
        --strays_;
        lock.unlock();
        if (on_stray) on_stray();
        lock.lock();
      } else if (held_ != nullptr) {
        return std::move(held_);
      }
      // After the right callback no more strays are counted, so it cannot be kept waiting by them.
      if (held_ != nullptr) continue;
      if (stop.stop_requested()) {
        return make_error(ErrorCode::cancelled, "loopback.cancelled",
                          "stopped waiting for the browser: the caller asked for it");
      }
      if (steady_clock::now() >= deadline) {
        return make_error(ErrorCode::timeout, "loopback.timeout",
                          "no login arrived from the browser: it was not finished in time; begin "
                          "the login again");
      }
    }
  }

  void forget() {
    const std::scoped_lock lock(mutex_);
    expected_.reset();
  }

 private:
  static bool matches(std::string_view query, std::string_view expected) {
    const auto fields = form_decode(query);
    if (!fields || expected.empty()) return false;
    const auto state = form_value(*fields, "state");
    return state && *state != nullptr && constant_time_equal(**state, expected);
  }

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::optional<std::string> expected_;
  bool taken_ = false;
  unsigned strays_ = 0;
  std::unique_ptr<HeldCallback> held_;
};

bool asks_to_prefetch(const Request& request) {
  for (const auto* name : {"Purpose", "Sec-Purpose", "X-Purpose", "X-Moz"}) {
    const auto value = std_view(request[name]);
    if (value.starts_with("prefetch") || value.starts_with("preview")) return true;
  }
  return false;
}

// All connections live on one thread, that of io_; only desk_ is shared.
class BeastReceiver final : public LoopbackReceiver {
 public:
  BeastReceiver(tcp::endpoint endpoint, ReceiverOptions options)
      : options_(std::move(options)), acceptor_(io_, endpoint), pause_(io_) {
    close_on_exec(acceptor_.native_handle());
    port_ = acceptor_.local_endpoint().port();
    authority_ = "127.0.0.1:" + std::to_string(port_);
    accept();
    start();
  }
  ~BeastReceiver() override {
    io_.stop();
    thread_.join();
  }

  [[nodiscard]] std::uint16_t port() const noexcept override { return port_; }
  [[nodiscard]] bool fell_back() const noexcept override { return false; }
  [[nodiscard]] std::string redirect_uri() const override {
    return "http://" + authority_ + options_.path;
  }

  Result<std::unique_ptr<HeldCallback>> wait(std::string_view state, milliseconds timeout,
                                             std::stop_token stop,
                                             const std::function<void()>& on_stray) override {
    const auto deadline =
        steady_clock::now() + std::clamp<milliseconds>(timeout, milliseconds{0}, kLongestWait);
    struct Forget {
      Desk& desk;
      ~Forget() { desk.forget(); }
    } const forget{desk_};
    desk_.expect(state);
    asio::post(io_, [this] { judge_waiting(); });
    return desk_.collect(deadline, stop, on_stray);
  }

 private:
  // The host program's signal handlers stay on its own threads.
  void start() {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct Restore {
      const sigset_t& mask;
      ~Restore() { pthread_sigmask(SIG_SETMASK, &mask, nullptr); }
    } const restore{before};
    thread_ = std::thread([this] { run(); });
  }

  void run() noexcept {
    for (;;) {
      try {
        io_.run();
        return;
      } catch (const std::exception&) {
        // Out of memory in one connection's handler: its connection is lost, the others go on.
      }
    }
  }

  void accept() {
    acceptor_.async_accept([this](error_code failed, tcp::socket socket) {
      if (failed) return accept_later();
      close_on_exec(socket.native_handle());
      accept();
      if (make_room()) serve(std::make_shared<Connection>(std::move(socket), options_));
    });
  }

  // Out of descriptors, most likely: trying again at once would spin.
  void accept_later() {
    pause_.expires_after(kAcceptPause);
    pause_.async_wait([this](error_code failed) {
      if (!failed) accept();
    });
  }

  // The oldest connection gives way: clients that are slow on purpose cannot keep the browser out.
  bool make_room() {
    if (connections_.size() < options_.max_connections) return true;
    const auto oldest = std::find_if(connections_.begin(), connections_.end(),
                                     [](const auto& other) { return !other->undecided; });
    if (oldest == connections_.end()) return false;
    drop(ConnectionPtr(*oldest));
    return true;
  }

  void serve(const ConnectionPtr& connection) {
    connections_.push_back(connection);
    connection->stream.expires_after(options_.read_timeout);
    http::async_read_header(connection->stream, connection->buffer, connection->parser,
                            [this, connection](error_code failed, std::size_t size) {
                              on_request(connection, failed, size);
                            });
  }

  void on_request(const ConnectionPtr& connection, error_code failed, std::size_t size) {
    // Beast's limit is for the request line and for the fields, each.
    if (failed == http::error::header_limit || failed == http::error::buffer_overflow ||
        size > options_.max_header) {
      return reply(connection, 431, plain_page("Request header fields too large"));
    }
    // Beast's own errors before the end of the stream are all about what was sent.
    if (failed && failed.category() == make_error_code(http::error::bad_method).category() &&
        failed != http::error::end_of_stream && failed != http::error::partial_message) {
      return reply(connection, 400, plain_page("Bad request"));
    }
    if (failed) return drop(connection);
    route(connection, connection->parser.get());
  }

  void route(const ConnectionPtr& connection, const Request& request) {
    const auto target = std_view(request.target());
    const auto path = target.substr(0, target.find('?'));
    if (!is_ours(request)) return reply(connection, 400, plain_page("Bad request"));
    if (path != options_.path) return reply(connection, 404, plain_page("Not found"));
    if (request.method() != http::verb::get) {
      const bool head = request.method() == http::verb::head;
      return reply(connection, 405, head ? "" : plain_page("Method not allowed"));
    }
    // A browser that only looks ahead comes again if the person goes there.
    if (asks_to_prefetch(request)) return reply(connection, 503, plain_page("Not for prefetching"));
    connection->query = target.substr(std::min(target.size(), path.size() + 1));
    judge(connection);
  }

  // Against DNS rebinding, and pages elsewhere that reach for the port from within a browser.
  [[nodiscard]] bool is_ours(const Request& request) const {
    if (request.count(http::field::host) != 1) return false;
    if (std_view(request[http::field::host]) != authority_) return false;
    for (auto [origin, end] = request.equal_range(http::field::origin); origin != end; ++origin) {
      if (std_view(origin->value()) != "http://" + authority_) return false;
    }
    const auto destination = std_view(request["Sec-Fetch-Dest"]);
    return destination.empty() || destination == "document";
  }

  void judge(const ConnectionPtr& connection) {
    const auto verdict = desk_.judge(connection->query, [&] { return take(connection); });
    if (verdict == Verdict::taken) return drop(connection);
    if (verdict == Verdict::undecided) return keep(connection);
    reply(connection, 400, stray_page());
  }

  static std::unique_ptr<HeldCallback> take(const ConnectionPtr& connection) {
    error_code failed;
    auto socket = connection->stream.release_socket();
    const auto descriptor = socket.release(failed);
    if (failed) return std::make_unique<SocketCallback>(connection->query);
    return std::make_unique<SocketCallback>(descriptor, connection->query);
  }

  void keep(const ConnectionPtr& connection) {
    connection->undecided = true;
    connection->hold.expires_after(options_.read_timeout);
    connection->hold.async_wait([this, connection](error_code failed) {
      if (failed || !connection->undecided) return;
      connection->undecided = false;
      reply(connection, 400, stray_page());
    });
  }

  void judge_waiting() {
    const auto all = connections_;
    for (const auto& connection : all) {
      if (!connection->undecided) continue;
      connection->undecided = false;
      connection->hold.cancel();
      judge(connection);
    }
  }

  void reply(const ConnectionPtr& connection, int status, std::string_view html) {
    connection->response = make_response(status, html);
    connection->stream.expires_after(kWriteTimeout);
    http::async_write(connection->stream, connection->response,
                      [this, connection](error_code failed, std::size_t) {
                        if (failed) return drop(connection);
                        connection->stream.socket().shutdown(tcp::socket::shutdown_send, failed);
                        connection->stream.expires_after(kDrainTimeout);
                        drain(connection);
                      });
  }

  // Reads what the client still sends, so that closing does not reset the answer away.
  void drain(const ConnectionPtr& connection) {
    connection->stream.async_read_some(asio::buffer(connection->sink),
                                       [this, connection](error_code failed, std::size_t size) {
                                         connection->drained += size;
                                         if (failed || connection->drained > kMaxDrain)
                                           return drop(connection);
                                         drain(connection);
                                       });
  }

  void drop(const ConnectionPtr& connection) {
    connection->undecided = false;
    connection->hold.cancel();
    connection->stream.close();
    connections_.remove(connection);
  }

  ReceiverOptions options_;
  asio::io_context io_{1};
  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  std::list<ConnectionPtr> connections_;
  Desk desk_;
  std::uint16_t port_ = 0;
  std::string authority_;
  std::thread thread_;
};

Error bind_error(std::uint16_t port, const std::string& why) {
  return make_error(ErrorCode::io, "loopback.bind",
                    "cannot listen on 127.0.0.1 port " + std::to_string(port) + ": " + why +
                        "; use another port, or 0 for any free one");
}

}  // namespace

LoopbackReceiver::~LoopbackReceiver() {}

Result<std::unique_ptr<LoopbackReceiver>> LoopbackReceiver::open(ReceiverOptions options) {
  const auto port = options.port;
  if (!options.path.starts_with('/') || options.path.find_first_of("?# ") != std::string::npos ||
      options.max_connections == 0) {
    return make_error(ErrorCode::invalid_argument, "loopback.options",
                      "cannot listen for the browser: the path must begin with / and have no query,"
                      " and there must be room for a connection");
  }
  try {
    const tcp::endpoint endpoint(asio::ip::address_v4::loopback(), port);
    return std::unique_ptr<LoopbackReceiver>(
        std::make_unique<BeastReceiver>(endpoint, std::move(options)));
  } catch (const std::exception& failed) {
    return bind_error(port, printable(failed.what(), 200));
  }
}

}  // namespace latchkey
