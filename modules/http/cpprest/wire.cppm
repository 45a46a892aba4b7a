// SPDX-License-Identifier: MIT
module;
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
export module latchkey.http.cpprest.wire;
import latchkey.http.policy;

// What the threads of cpprestsdk tell the thread that waits for an answer, and the checks that they
// make on the way: the peer's certificate, how many bytes came, whether the library is about to
// send again. Used by latchkey.http.cpprest.channel only.

export namespace latchkey {

/// The kept connection had ended before anything was sent on it.
struct StaleConnection : std::runtime_error {
  StaleConnection() : std::runtime_error("the kept connection had ended") {}
};
/// The library was about to send a request a second time.
struct SecondSending : std::runtime_error {
  SecondSending() : std::runtime_error("the kept connection broke") {}
};
/// The extra certificate file can't be read any more.
struct CaFileLost : std::runtime_error {
  CaFileLost() : std::runtime_error("the extra certificate file cannot be read") {}
};

/// State of the exchange under way, of which there is at most one. Thread-safe, but begin().
class Wire {
 public:
  enum class Wake { finished, stopped, flooded, connect_timeout, timeout };
  using TimePoint = std::chrono::steady_clock::time_point;
  struct Deadlines {
    TimePoint whole{};
    TimePoint connect{};  ///< the TLS handshake included
    TimePoint accept{};   ///< without it; not after `connect`
  };

  Wire(std::string host, bool tls)
      : host_(std::move(host)), tls_(tls), literal_(IpAddress::parse(host_)) {}

  /// A new exchange that may receive `budget` bytes under TLS.
  void begin(std::size_t budget);
  /// From now on, wait() waits for the next finish().
  void arm();
  void finish() { raise(finished_); }
  void stop() { raise(stopped_); }
  [[nodiscard]] Wake wait(const Deadlines& deadlines);
  void wait_finished(std::chrono::milliseconds time);

  /// For set_nativehandle_options: runs right before the library sends, also when it does so again
  /// on its own. Throws StaleConnection or SecondSending.
  void before_sending(void* handle);
  /// For set_ssl_context_callback, with the SSL_CTX: TLS 1.2 or newer, SNI and certificate check
  /// for the host, the byte budget. The wire must live as long as the connections made with it.
  /// Throws CaFileLost.
  void prepare_tls(void* context, const std::string& extra_ca_file);
  /// For set_progress_handler.
  void on_progress(bool download, std::size_t size);

  [[nodiscard]] bool tls() const { return tls_; }
  [[nodiscard]] bool reused() const { return reused_; }
  [[nodiscard]] bool handshake_begun() const { return handshake_begun_; }
  /// Bytes of the request may have left.
  [[nodiscard]] bool connected() const { return reused_ || written_ || handshake_done_; }
  /// Why the certificate was refused; empty if it was not.
  [[nodiscard]] std::string verify_error() const;
  [[nodiscard]] std::size_t downloaded() const { return downloaded_; }

 private:
  struct Callbacks;
  void raise(bool& flag);

  const std::string host_;
  const bool tls_;
  const std::optional<IpAddress> literal_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool finished_ = false, stopped_ = false, flooded_ = false;  // under mutex_
  std::atomic<std::size_t> budget_{0}, received_{0}, downloaded_{0};
  std::atomic<int> sendings_{0};
  std::atomic<long> verify_error_{0};
  std::atomic<bool> reused_{false}, handshake_begun_{false}, handshake_done_{false},
      written_{false};
};

}  // namespace latchkey
