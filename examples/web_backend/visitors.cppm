// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
export module latchkey.examples.web_backend.visitors;
import latchkey;

// Which browser is whose. The OAuth sessions are in the library's store; here is only the website's
// own session: a random id in a cookie stands for an account, also after a restart. The file has no
// ids in it, only their digests. It belongs to one process: a second one would write over it.

export namespace web_backend {

struct Visitor {
  std::string did;
  std::string handle;  ///< for display
};

/// Thread-safe. Throws latchkey::Exception if the file can't be read or written.
class Visitors {
 public:
  explicit Visitors(std::filesystem::path file);

  /// Gives the id of a new session.
  [[nodiscard]] latchkey::SecretString welcome(const Visitor& visitor);
  /// Empty if the id is unknown, or a month old.
  [[nodiscard]] std::optional<Visitor> find(std::string_view id) const;
  /// Ends one session.
  void forget(std::string_view id);
  /// Ends all sessions of an account.
  void forget_account(std::string_view did);

 private:
  struct Entry {
    Visitor visitor;
    latchkey::TimePoint until;
  };
  void read();
  void write() const;

  std::filesystem::path file_;
  mutable std::mutex mutex_;
  latchkey::SystemRandom random_;
  std::map<std::string, Entry, std::less<>> entries_;  // by digest of the id
};

}  // namespace web_backend
