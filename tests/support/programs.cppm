// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <optional>
#include <string>
export module latchkey.test.programs;
import latchkey.test.folder;

// Programs that stand in for others, and the environment that leads to them. For tests of one
// thread: the environment belongs to the whole process.

export namespace latchkey::test {

/// Sets a variable, or removes it for an empty value, and puts it back as it was.
class Variable {
 public:
  Variable(std::string name, const std::string& value);
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable();

 private:
  std::string name_;
  std::optional<std::string> before_;
};

/// A folder of shell scripts; each writes its name and words into a log when it is called.
class Programs {
 public:
  /// `script` runs after the call is logged, with /bin/sh.
  void add(const std::string& name, const std::string& script) const;
  void add(const std::string& name, int exit_status) const;
  [[nodiscard]] std::string path() const { return folder_.path().string(); }
  /// A line for each call: "name [word] [word]".
  [[nodiscard]] std::string calls() const;

 private:
  [[nodiscard]] std::filesystem::path log() const { return folder_.path() / "log"; }
  TemporaryFolder folder_;
};

}  // namespace latchkey::test
