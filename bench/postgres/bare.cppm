// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.bench.postgres.bare;
import latchkey.store.postgres.connection;

// The bare thing to compare with: libpq and statements that are prepared once, as pgbench does it.
// Results are fetched and not looked at. Failures throw std::runtime_error.

export namespace latchkey::bench {

/// One connection. Not thread-safe.
class Bare {
 public:
  explicit Bare(const std::string& address);
  Bare(const Bare&) = delete;
  Bare& operator=(const Bare&) = delete;
  ~Bare();

  void prepare(const char* name, const char* sql);
  /// All parameters as text. Gives the first column of the first row, if there is one.
  std::string run(const char* name, const std::vector<std::string>& values);
  std::string script(const std::string& sql);
  /// COPY of rows into a table, all columns in their order.
  void copy(const std::string& table, const std::vector<PostgresValues>& rows);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace latchkey::bench
