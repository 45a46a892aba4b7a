// SPDX-License-Identifier: MIT
// An API that takes only access tokens that are bound to a key, each with a proof (RFC 9449):
//
//   resource_server PORT TOKENS_FILE [NONCE_SECONDS]
//
// PORT: 0 for a free one; the address is printed. TOKENS_FILE stands for what a server learns of
// tokens by introspection or from the JWT that they are; a line for each: the SHA-256 of the token
// (base64url), the thumbprint of its key (cnf.jkt), and whose it is. NONCE_SECONDS: how often
// nonces change; 0, the default, asks for none. Loopback only, and no TLS: in front of a real one
// stands a proxy, and then the origin that the guard is told is the proxy's. Ends when it is
// killed.
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <cstddef>
#include <exception>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey;

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

std::string_view std_view(beast::string_view text) {
  return {text.data(), text.size()};
}

struct Holder {
  std::string jkt, name;
};
using Holders = std::map<std::string, Holder>;  // by the hash of the token

Holders read_tokens(const char* path) {
  std::ifstream file(path);
  Holders holders;
  for (std::string hash, jkt, name; file >> hash >> jkt >> name;) holders[hash] = {jkt, name};
  return holders;
}

class Api {
 public:
  Api(Holders holders, std::chrono::seconds nonce_interval, const std::string& origin)
      : holders_(std::move(holders)),
        origin_(latchkey::Url::parse(origin).value()),
        guard_({.clock = std::make_shared<latchkey::SystemClock>(),
                .nonces = nonces(nonce_interval)}) {}

  http::response<http::string_body> answer(const http::request<http::string_body>& request) {
    const auto url = origin_.with_target(std_view(request.target()));
    if (!url) return make(400, {}, "no such address\n");
    std::string name;
    const auto passed =
        guard_.check({.method = std_view(request.method_string()),
                      .url = *url,
                      .authorization = fields(request, "Authorization"),
                      .dpop = fields(request, "DPoP")},
                     [&](const latchkey::SecretString& token) { return look_up(token, name); });
    if (!passed) {
      std::cerr << "refused: " << passed.error().detail << '\n';
      const auto refusal = guard_.answer_to(passed.error());
      return make(refusal.status, refusal.headers, "refused\n");
    }
    return make(200, guard_.answer_fields(), "hello, " + name + "\n");
  }

 private:
  static std::shared_ptr<latchkey::NonceIssuer> nonces(std::chrono::seconds interval) {
    if (interval.count() <= 0) return nullptr;
    latchkey::SystemRandom random;
    return std::make_shared<latchkey::NonceIssuer>(random, interval);
  }

  static std::vector<std::string_view> fields(const http::request<http::string_body>& request,
                                              std::string_view name) {
    std::vector<std::string_view> values;
    const auto [first, last] = request.equal_range({name.data(), name.size()});
    for (auto field = first; field != last; ++field) values.push_back(std_view(field->value()));
    return values;
  }

  // What the lookup finds out about the token is kept for the answer.
  latchkey::Result<std::optional<latchkey::KnownToken>> look_up(const latchkey::SecretString& token,
                                                                std::string& name) const {
    const auto holder = holders_.find(latchkey::sha256_base64url(token.expose()));
    if (holder == holders_.end()) return std::optional<latchkey::KnownToken>();
    name = holder->second.name;
    return std::optional(latchkey::KnownToken{.jkt = holder->second.jkt});
  }

  static http::response<http::string_body> make(int status, const latchkey::Headers& headers,
                                                std::string body) {
    http::response<http::string_body> response(http::int_to_status(static_cast<unsigned>(status)),
                                               11);
    for (const auto& [name, value] : headers.fields()) response.set(name, value);
    response.set(http::field::content_type, "text/plain; charset=utf-8");
    response.body() = std::move(body);
    response.prepare_payload();
    return response;
  }

  Holders holders_;
  latchkey::Url origin_;
  latchkey::DpopGuard guard_;
};

// One request and its answer; then the connection is closed.
class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(tcp::socket socket, Api& api) : stream_(std::move(socket)), api_(api) {}

  void run() {
    stream_.expires_after(std::chrono::seconds(10));
    http::async_read(stream_, buffer_, request_,
                     [self = shared_from_this()](error_code failed, std::size_t) {
                       if (!failed) self->reply();
                     });
  }

 private:
  void reply() {
    response_ = api_.answer(request_);
    response_.keep_alive(false);
    http::async_write(stream_, response_, [self = shared_from_this()](error_code, std::size_t) {
      error_code ignored;
      self->stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    });
  }

  beast::tcp_stream stream_;
  beast::flat_buffer buffer_{64 * 1024};
  http::request<http::string_body> request_;
  http::response<http::string_body> response_;
  Api& api_;
};

void accept_from(tcp::acceptor& acceptor, Api& api) {
  acceptor.async_accept([&](error_code failed, tcp::socket socket) {
    if (!failed) std::make_shared<Exchange>(std::move(socket), api)->run();
    accept_from(acceptor, api);
  });
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3 && argc != 4) {
    return std::cerr << "usage: resource_server PORT TOKENS_FILE [NONCE_SECONDS]\n", 2;
  }
  asio::io_context io{1};
  const auto port = static_cast<unsigned short>(std::stoul(argv[1]));
  tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), port});
  const std::string origin = "http://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
  Api api(read_tokens(argv[2]), std::chrono::seconds(argc == 4 ? std::stol(argv[3]) : 0), origin);
  accept_from(acceptor, api);
  std::cout << origin << std::endl;
  io.run();
  return 0;
} catch (const std::exception& e) {
  std::cerr << "resource_server: " << e.what() << '\n';
  return 1;
}
