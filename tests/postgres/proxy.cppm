// SPDX-License-Identifier: MIT
module;
#include <atomic>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
export module latchkey.test.postgres_proxy;

// Stands between a program and its server, and cuts a connection at the one moment that a test is
// about. Plain TCP; knows nothing of the protocol. Failures throw std::runtime_error.

export namespace latchkey::test {

class PostgresProxy {
 public:
  /// To a server on 127.0.0.1.
  explicit PostgresProxy(std::uint16_t server);
  PostgresProxy(const PostgresProxy&) = delete;
  PostgresProxy& operator=(const PostgresProxy&) = delete;
  ~PostgresProxy();

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  /// The next bytes from a client with this text in them are not handed on, and their connection is
  /// cut: the server has not heard of it.
  void cut_question_with(std::string text);
  /// The same with bytes from the server: it was carried out, and the client does not know.
  /// "COMMIT", "INSERT 0 1" and so on are how the server says what it did.
  void cut_answer_with(std::string text);
  /// The same with the answer to the next bytes from a client with this text in them.
  void cut_answer_to(std::string text);
  /// How many connections have been cut.
  [[nodiscard]] int cuts() const noexcept { return cuts_; }
  [[nodiscard]] int connections() const noexcept { return connections_; }

 private:
  void serve();
  void relay(int client);
  [[nodiscard]] bool is_met(std::string& wanted, std::string_view bytes);

  const std::uint16_t server_;
  std::uint16_t port_ = 0;
  int listener_ = -1;
  std::atomic<bool> is_ending_ = false;
  std::atomic<int> cuts_ = 0;
  std::atomic<int> connections_ = 0;
  std::mutex mutex_;
  std::string question_, answer_, answered_;  // what is waited for; empty: nothing
  std::list<std::jthread> relays_;
  std::jthread thread_;
};

}  // namespace latchkey::test
