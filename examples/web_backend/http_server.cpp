// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/strand.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>
module latchkey.examples.web_backend.http_server;

namespace web_backend {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;

// A login waits for other servers: so many can wait at once.
constexpr unsigned kThreads = 8;
constexpr std::chrono::seconds kReadTimeout{30};
constexpr std::chrono::seconds kWriteTimeout{30};
constexpr std::uint32_t kMaxHeader = 32 * 1024;
constexpr std::uint64_t kMaxBody = 64 * 1024;

std::string_view std_view(beast::string_view text) {
  return {text.data(), text.size()};
}

Request request_of(const http::request<http::string_body>& message) {
  const std::string_view target = std_view(message.target());
  const std::size_t mark = target.find('?');
  Request request{.method = std::string(std_view(message.method_string())),
                  .path = std::string(target.substr(0, mark)),
                  .query = {},
                  .headers = {},
                  .body = message.body()};
  if (mark != std::string_view::npos) request.query = target.substr(mark + 1);
  for (const auto& field : message) {
    request.headers.emplace_back(std_view(field.name_string()), std_view(field.value()));
  }
  return request;
}

http::response<http::string_body> message_of(Response response) {
  http::response<http::string_body> message(
      http::int_to_status(static_cast<unsigned>(response.status)), 11);
  for (const auto& [name, value] : response.headers) message.insert(name, value);
  message.body() = std::move(response.body);
  message.keep_alive(false);
  message.prepare_payload();
  return message;
}

// One request and its answer; lives until both are done.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, const HttpServer::Handler& handler)
      : stream_(std::move(socket)), handler_(handler) {
    parser_.header_limit(kMaxHeader);
    parser_.body_limit(kMaxBody);
  }

  void start() {
    is_reading_ = true;
    stream_.expires_after(kReadTimeout);
    http::async_read(stream_, buffer_, parser_,
                     [self = shared_from_this()](beast::error_code failed, std::size_t) {
                       self->is_reading_ = false;
                       if (!failed) self->answer();
                     });
  }

  // Closes it, unless its request is there.
  void end_if_reading() {
    asio::post(stream_.get_executor(), [self = shared_from_this()] {
      if (self->is_reading_) self->stream_.close();
    });
  }

 private:
  void answer() {
    stream_.expires_never();  // the handler may take its time
    message_ = message_of(handle(request_of(parser_.get())));
    stream_.expires_after(kWriteTimeout);
    http::async_write(stream_, message_,
                      [self = shared_from_this()](beast::error_code, std::size_t) {
                        beast::error_code ignored;
                        self->stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
                      });
  }

  Response handle(const Request& request) {
    try {
      return handler_(request);
    } catch (const std::exception&) {
      return {.status = 500, .body = "something went wrong here\n"};
    }
  }

  beast::tcp_stream stream_;
  bool is_reading_ = false;
  const HttpServer::Handler& handler_;
  beast::flat_buffer buffer_;
  http::request_parser<http::string_body> parser_;
  http::response<http::string_body> message_;
};

}  // namespace

std::string_view Request::header(std::string_view name) const {
  const auto found = std::find_if(headers.begin(), headers.end(), [&](const auto& one) {
    return beast::iequals({one.first.data(), one.first.size()}, {name.data(), name.size()});
  });
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

std::string_view Request::cookie(std::string_view name) const {
  std::string_view rest = header("Cookie");
  while (!rest.empty()) {
    std::string_view one = rest.substr(0, rest.find(';'));
    rest.remove_prefix(std::min(one.size() + 1, rest.size()));
    one.remove_prefix(std::min(one.find_first_not_of(' '), one.size()));
    if (one.size() > name.size() && one.starts_with(name) && one[name.size()] == '=') {
      return one.substr(name.size() + 1);
    }
  }
  return {};
}

// All on one strand but the connections, which have one each.
struct HttpServer::Impl {
  explicit Impl(std::uint16_t port)
      : acceptor(asio::make_strand(io), {asio::ip::address_v4::loopback(), port}) {}

  void accept() {
    acceptor.async_accept(
        asio::make_strand(io), [this](beast::error_code failed, tcp::socket socket) {
          if (!acceptor.is_open()) return;
          if (!failed) {
            const auto connection = std::make_shared<Connection>(std::move(socket), handler);
            std::erase_if(connections, [](const auto& one) { return one.expired(); });
            connections.push_back(connection);
            connection->start();
          }
          accept();
        });
  }

  // The io_context is out of work when the last connection has ended.
  void finish() {
    beast::error_code ignored;
    acceptor.close(ignored);
    for (const auto& one : connections) {
      if (const auto connection = one.lock()) connection->end_if_reading();
    }
  }

  asio::io_context io{kThreads};
  tcp::acceptor acceptor;
  std::vector<std::weak_ptr<Connection>> connections;
  Handler handler;
};

HttpServer::HttpServer(std::uint16_t port) : impl_(std::make_unique<Impl>(port)) {}

HttpServer::~HttpServer() = default;

std::uint16_t HttpServer::port() const {
  return impl_->acceptor.local_endpoint().port();
}

void HttpServer::run(Handler handler) {
  impl_->handler = std::move(handler);
  asio::signal_set signals(impl_->acceptor.get_executor(), SIGINT, SIGTERM);
  signals.async_wait([&](beast::error_code, int) {
    signals.clear();
    impl_->finish();
  });
  impl_->accept();
  std::vector<std::jthread> threads;
  for (unsigned i = 0; i < kThreads; ++i) {
    threads.emplace_back([this] { impl_->io.run(); });
  }
}

}  // namespace web_backend
