// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.examples.web_backend.http_server;

// A small HTTP/1.1 server on 127.0.0.1, to have something under the example. In production a proxy
// stands before it, and speaks https.

export namespace web_backend {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string method;
  std::string path;
  std::string query;  ///< what follows "?"
  Headers headers;
  std::string body;

  /// Empty if it is not there; the first if it is there twice.
  [[nodiscard]] std::string_view header(std::string_view name) const;
  /// The value of a cookie; empty if there is none.
  [[nodiscard]] std::string_view cookie(std::string_view name) const;
};

struct Response {
  int status = 200;
  Headers headers{};
  std::string body{};
};

class HttpServer {
 public:
  /// Called by several threads at once.
  using Handler = std::function<Response(const Request&)>;

  /// Binds 127.0.0.1; 0: any free port. Throws std::exception.
  explicit HttpServer(std::uint16_t port);
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer();

  [[nodiscard]] std::uint16_t port() const;
  /// Serves until SIGINT or SIGTERM: then nobody new is let in, requests that are there are
  /// answered, and it returns. A second signal ends the program at once.
  void run(Handler handler);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace web_backend
