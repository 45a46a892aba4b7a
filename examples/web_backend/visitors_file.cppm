// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
export module latchkey.examples.web_backend.visitors_file;
import latchkey.core;
import latchkey.examples.web_backend.visitors;

export namespace web_backend {

/// In a file, which belongs to one process: a second one would write over it.
class FileVisitors final : public Visitors {
 public:
  /// Throws std::exception if the file is there and can't be read.
  explicit FileVisitors(std::filesystem::path file);

  void forget_account(std::string_view did) override;
  void sweep() override;

 private:
  struct Entry {
    Visitor visitor;
    latchkey::TimePoint until;
  };
  void add(const std::string& digest, const Visitor& visitor) override;
  [[nodiscard]] std::optional<Visitor> look_up(const std::string& digest) override;
  void remove(const std::string& digest) override;
  void read();
  void write() const;
  void remove_where(const std::function<bool(const Entry&)>& is_to_go);

  std::filesystem::path file_;
  std::mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_;  // by digest of the id
};

}  // namespace web_backend
