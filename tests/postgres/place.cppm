// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>
export module latchkey.test.postgres_place;
import latchkey.core.secret;
import latchkey.store.postgres.connection;

// Databases for tests, on a real PostgreSQL server: see server.sh. Failures throw
// std::runtime_error.

export namespace latchkey::test {

/// A server of one's own, to be killed and paused. It and its folder are gone when this goes.
class PrivateServer {
 public:
  /// `settings`: "name=value", as in postgresql.conf.
  explicit PrivateServer(const std::vector<std::string>& settings = {});
  PrivateServer(const PrivateServer&) = delete;
  PrivateServer& operator=(const PrivateServer&) = delete;
  ~PrivateServer();

  /// postgresql://postgres@127.0.0.1:port/postgres
  [[nodiscard]] const std::string& address() const noexcept { return address_; }
  /// Where its data folder is.
  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }
  /// Again, on the same port and with the same data.
  void start();
  void stop();
  void kill();
  /// Stops all its processes where they are: connections stay, and nothing answers.
  void pause();
  void resume();

 private:
  std::filesystem::path folder_;
  std::string address_;
};

/// The address of the server that the tests share: that of the ctest fixture, or one for as long as
/// this program runs.
[[nodiscard]] std::string shared_server();

[[nodiscard]] std::uint16_t port_of(const std::string& address);
/// The address with another database, user or port.
[[nodiscard]] std::string with_database(const std::string& address, const std::string& name);
[[nodiscard]] std::string with_user(const std::string& address, const std::string& user);
[[nodiscard]] std::string with_port(const std::string& address, std::uint16_t port);

/// A database of one's own, empty, dropped with all its connections when this goes.
class PostgresPlace {
 public:
  /// `options` follow CREATE DATABASE's name.
  explicit PostgresPlace(const std::string& server = shared_server(),
                         const std::string& options = {});
  PostgresPlace(const PostgresPlace&) = delete;
  PostgresPlace& operator=(const PostgresPlace&) = delete;
  ~PostgresPlace();

  [[nodiscard]] const std::string& address() const noexcept { return address_; }
  [[nodiscard]] SecretString secret_address() const { return SecretString(address_); }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// Runs statements on a connection of its own, the same for all, and on a new one when that was
  /// lost; gives the last one's rows.
  PostgresRows run(const std::string& sql);
  /// The first column of the first row; empty if there is none, or it is NULL.
  [[nodiscard]] std::string value(const std::string& sql);
  /// Ends all other connections to the database, as an administrator can. How many there were.
  int end_connections();

 private:
  std::string server_;
  std::string name_;
  std::string address_;
  std::unique_ptr<PostgresConnection> connection_;
};

}  // namespace latchkey::test
