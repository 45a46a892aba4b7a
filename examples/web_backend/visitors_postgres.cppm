// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <string>
#include <string_view>
export module latchkey.examples.web_backend.visitors_postgres;
import latchkey.core;
import latchkey.examples.web_backend.visitors;

export namespace web_backend {

/// In a table of the website's own, for all of its processes. A restart of the database is waited
/// for, up to fifteen seconds.
class PostgresVisitors final : public Visitors {
 public:
  /// Makes the table if it is not there. `address`: as libpq takes it. Throws std::exception.
  explicit PostgresVisitors(latchkey::SecretString address);
  ~PostgresVisitors() override;

  void forget_account(std::string_view did) override;
  void sweep() override;

 private:
  void add(const std::string& digest, const Visitor& visitor) override;
  [[nodiscard]] std::optional<Visitor> look_up(const std::string& digest) override;
  void remove(const std::string& digest) override;

  class Connections;
  std::unique_ptr<Connections> connections_;
};

}  // namespace web_backend
