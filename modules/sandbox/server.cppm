// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
export module latchkey.sandbox.server;
import latchkey.core.error;
import latchkey.sandbox.message;

// An HTTP/1.1 server on 127.0.0.1 with several ports and one thread, whose answers can go wrong on
// their way as a script wants it.

export namespace latchkey::sandbox {

/// An answer and how it travels.
struct Delivery {
  Response response;
  enum class Way {
    whole,
    dropped,    ///< the connection is closed instead
    truncated,  ///< half of the body, then the connection is closed
    slow_head,  ///< byte by byte, one every `delay`
    slow_body,  ///< the same, once the head is sent
  } way = Way::whole;
  std::chrono::milliseconds delay{0};
  bool held = false;  ///< wait for release()
};

class HttpServer {
 public:
  /// `listener`: the number of the port, in the order of listen(). Called by one thread.
  using Handler = std::function<Delivery(std::size_t listener, const Request&)>;

  HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  /// Closes every connection.
  ~HttpServer();

  /// Binds 127.0.0.1 and gives the port. 0: any free one. Before start().
  /// Error: io, "sandbox.bind".
  [[nodiscard]] Result<std::uint16_t> listen(std::uint16_t port);
  void start(Handler handler);
  /// Sends what is held. Thread-safe.
  void release();
  /// Closes kept connections that wait for a request, as servers do when they are idle.
  /// Thread-safe.
  void close_idle();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace latchkey::sandbox
