// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <memory>
#include <string>
#include <vector>
export module latchkey.bench.postgres.cases;
import latchkey.bench.postgres.rounds;

// What is measured, over a database of so many sessions: each operation of the store, and the bare
// statements that do the same to rows of the same size.

export namespace latchkey::bench {

/// "load", "save", "list" (a page of 100), "lease" (taken and released) and "take_over" (of a lease
/// that another holder let run out).
[[nodiscard]] const std::vector<std::string>& operations();

/// A filled database. Used by one thread; failures throw.
class Side {
 public:
  /// `label`: what its cases are called by. The database must be empty.
  Side(const std::string& label, const std::string& address, std::size_t rows);
  Side(const Side&) = delete;
  Side& operator=(const Side&) = delete;
  ~Side();

  /// "load.store.LABEL", "load.bare.LABEL" and so on.
  [[nodiscard]] const std::vector<Case>& cases() const noexcept;
  /// Of one call to the store, once its statements are prepared.
  [[nodiscard]] double round_trips(const std::string& operation);
  /// Lists all sessions, a thousand a page. How many there were.
  [[nodiscard]] std::size_t list_all();
  /// Of the sessions with their indices, in bytes.
  [[nodiscard]] std::size_t table_size();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace latchkey::bench
