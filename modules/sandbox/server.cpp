// SPDX-License-Identifier: MIT
module;
#include <fcntl.h>
#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
module latchkey.sandbox.server;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.process;
import latchkey.http;
import latchkey.sandbox.message;

namespace latchkey::sandbox {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::chrono::seconds kReadTimeout{60};
constexpr std::chrono::seconds kWriteTimeout{30};
constexpr std::chrono::milliseconds kAcceptPause{50};
constexpr std::chrono::hours kHeld{24};
constexpr std::uint32_t kMaxHeader = 64 * 1024;
constexpr std::size_t kMaxBody = std::size_t{4} * 1024 * 1024;

// Strings come from Beast as boost::string_view.
std::string_view std_view(beast::string_view text) {
  return {text.data(), text.size()};
}

// Asio's sockets are inherited by programs that the host starts.
void close_on_exec(int descriptor) {
  (void)::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
}

struct Connection {
  Connection(tcp::socket socket, std::size_t number)
      : stream(std::move(socket)), pause(stream.get_executor()), listener(number) {}
  beast::tcp_stream stream;
  beast::flat_buffer buffer;
  std::optional<http::request_parser<http::string_body>> parser;
  asio::steady_timer pause;
  std::size_t listener;
  std::string out;
  std::size_t sent = 0;  // of `out`, if it is sent byte by byte
  bool keep_alive = false, held = false, idle = false;
};
using ConnectionPtr = std::shared_ptr<Connection>;

struct Listener {
  Listener(asio::io_context& io, const tcp::endpoint& endpoint)
      : acceptor(io, endpoint), pause(io) {}
  tcp::acceptor acceptor;
  asio::steady_timer pause;
};

// Nothing if a header cannot be read as one.
std::optional<Request> request_of(const http::request<http::string_body>& message) {
  Request request{.method = std::string(std_view(message.method_string())),
                  .path = {},
                  .query = {},
                  .headers = {},
                  .body = message.body()};
  const auto target = std_view(message.target());
  const auto mark = target.find('?');
  request.path = target.substr(0, mark);
  if (mark != std::string_view::npos) request.query = target.substr(mark + 1);
  for (const auto& one : message) {
    if (!request.headers.add(std_view(one.name_string()), std_view(one.value()))) {
      return std::nullopt;
    }
  }
  return request;
}

std::string head_of(const Response& response, bool keep_alive) {
  const auto status = static_cast<unsigned>(response.status);
  std::string out = "HTTP/1.1 " + std::to_string(status) + ' ';
  out += std_view(http::obsolete_reason(http::int_to_status(status)));
  out += "\r\n";
  const auto add = [&](std::string_view name, std::string_view value) {
    out.append(name).append(": ").append(value).append("\r\n");
  };
  if (!response.content_type.empty()) add("Content-Type", response.content_type);
  for (const auto& [name, value] : response.headers) add(name, value);
  add("Content-Length", std::to_string(response.body.size()));
  add("Connection", keep_alive ? "keep-alive" : "close");
  return out + "\r\n";
}

Response plain(int status, std::string text) {
  return {.status = status, .content_type = "text/plain; charset=utf-8", .body = std::move(text)};
}

}  // namespace

struct HttpServer::Impl {
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  std::deque<Listener> listeners;
  std::list<ConnectionPtr> connections;
  Handler handler;
  std::thread thread;

  void run() noexcept {
    for (;;) {
      try {
        io.run();
        return;
      } catch (const std::exception&) {
        // Out of memory in one connection's handler: its connection is lost, the others go on.
      }
    }
  }

  void accept(std::size_t number) {
    listeners[number].acceptor.async_accept([this, number](error_code failed, tcp::socket socket) {
      if (failed == asio::error::operation_aborted) return;
      if (failed) return accept_later(number);
      close_on_exec(socket.native_handle());
      error_code ignored;
      socket.set_option(tcp::no_delay(true), ignored);
      connections.push_back(std::make_shared<Connection>(std::move(socket), number));
      read(connections.back());
      accept(number);
    });
  }

  // Out of descriptors, most likely: trying again at once would spin.
  void accept_later(std::size_t number) {
    listeners[number].pause.expires_after(kAcceptPause);
    listeners[number].pause.async_wait([this, number](error_code failed) {
      if (!failed) accept(number);
    });
  }

  void read(const ConnectionPtr& connection) {
    connection->parser.emplace();
    connection->parser->header_limit(kMaxHeader);
    connection->parser->body_limit(kMaxBody);
    connection->stream.expires_after(kReadTimeout);
    connection->idle = true;
    http::async_read(connection->stream, connection->buffer, *connection->parser,
                     [this, connection](error_code failed, std::size_t) {
                       connection->idle = false;
                       on_request(connection, failed);
                     });
  }

  void on_request(const ConnectionPtr& connection, error_code failed) {
    connection->keep_alive = false;
    if (failed == http::error::body_limit) return reply(connection, {plain(413, "too large")});
    if (failed == http::error::header_limit) return reply(connection, {plain(431, "too large")});
    const bool malformed = failed && failed != http::error::end_of_stream &&
                           failed != http::error::partial_message &&
                           failed.category() == make_error_code(http::error::bad_method).category();
    const auto request = failed ? std::nullopt : request_of(connection->parser->get());
    if (malformed || (!failed && !request)) {
      return reply(connection, {plain(400, "malformed request")});
    }
    if (failed) return drop(connection);
    connection->keep_alive = connection->parser->get().keep_alive();
    try {
      reply(connection, handler(connection->listener, *request));
    } catch (const std::exception&) {
      reply(connection, {plain(500, "the sandbox failed")});
    }
  }

  void reply(const ConnectionPtr& connection, Delivery delivery) {
    const bool slow =
        delivery.way == Delivery::Way::slow_head || delivery.way == Delivery::Way::slow_body;
    if (delivery.held || (!slow && delivery.delay.count() > 0)) {
      connection->held = delivery.held;
      connection->stream.expires_never();
      if (delivery.held) {
        connection->pause.expires_after(kHeld);
      } else {
        connection->pause.expires_after(delivery.delay);
      }
      delivery.held = false;
      delivery.delay = {};
      connection->pause.async_wait(
          [this, connection, rest = std::move(delivery)](error_code) mutable {
            connection->held = false;
            reply(connection, std::move(rest));
          });
      return;
    }
    if (delivery.way == Delivery::Way::dropped) return drop(connection);
    const bool cut = delivery.way == Delivery::Way::truncated;
    connection->out = head_of(delivery.response, connection->keep_alive);
    const auto& body = delivery.response.body;
    const auto head = connection->out.size();
    connection->out.append(body, 0, cut ? body.size() / 2 : body.size());
    connection->keep_alive = connection->keep_alive && !cut;
    if (!slow) return write(connection);
    connection->sent = 0;
    write_slowly(connection, delivery.way == Delivery::Way::slow_head ? 1 : head, delivery.delay);
  }

  // The next `count` bytes, and then a byte every `pause`.
  void write_slowly(const ConnectionPtr& connection, std::size_t count,
                    std::chrono::milliseconds pause) {
    connection->stream.expires_after(kWriteTimeout);
    const auto next = asio::buffer(asio::buffer(connection->out) + connection->sent, count);
    asio::async_write(connection->stream, next,
                      [this, connection, pause](error_code failed, std::size_t written) {
                        connection->sent += written;
                        if (failed || connection->sent == connection->out.size()) {
                          return written_all(connection, failed);
                        }
                        connection->stream.expires_never();
                        connection->pause.expires_after(pause);
                        connection->pause.async_wait([this, connection, pause](error_code) {
                          write_slowly(connection, 1, pause);
                        });
                      });
  }

  void write(const ConnectionPtr& connection) {
    connection->stream.expires_after(kWriteTimeout);
    asio::async_write(
        connection->stream, asio::buffer(connection->out),
        [this, connection](error_code failed, std::size_t) { written_all(connection, failed); });
  }

  void written_all(const ConnectionPtr& connection, error_code failed) {
    if (failed || !connection->keep_alive) return drop(connection);
    read(connection);
  }

  void drop(const ConnectionPtr& connection) {
    error_code ignored;
    connection->stream.socket().shutdown(tcp::socket::shutdown_both, ignored);
    connection->stream.close();
    connections.remove(connection);
  }
};

HttpServer::HttpServer() : impl_(std::make_unique<Impl>()) {}

HttpServer::~HttpServer() {
  impl_->io.stop();
  if (impl_->thread.joinable()) impl_->thread.join();
}

Result<std::uint16_t> HttpServer::listen(std::uint16_t port) {
  try {
    const tcp::endpoint endpoint(asio::ip::address_v4::loopback(), port);
    auto& acceptor = impl_->listeners.emplace_back(impl_->io, endpoint).acceptor;
    close_on_exec(acceptor.native_handle());
    return acceptor.local_endpoint().port();
  } catch (const std::exception& failed) {
    return make_error(ErrorCode::io, "sandbox.bind",
                      "cannot listen on 127.0.0.1 port " + std::to_string(port) + ": " +
                          printable(failed.what(), 200) +
                          "; use another port, or 0 for any free one");
  }
}

void HttpServer::start(Handler handler) {
  impl_->handler = std::move(handler);
  for (std::size_t i = 0; i < impl_->listeners.size(); ++i) impl_->accept(i);
  impl_->thread = start_thread_without_signals([impl = impl_.get()] { impl->run(); });
}

void HttpServer::release() {
  asio::post(impl_->io, [impl = impl_.get()] {
    for (const auto& connection : impl->connections) {
      if (connection->held) connection->pause.cancel();
    }
  });
}

void HttpServer::close_idle() {
  asio::post(impl_->io, [impl = impl_.get()] {
    const auto all = impl->connections;
    for (const auto& connection : all) {
      if (connection->idle) connection->stream.cancel();
    }
  });
}

}  // namespace latchkey::sandbox
