// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.test.examined;
import latchkey.store;
import latchkey.test.tool;
import latchkey.test.tool_places;

// What the doctor says of a home.

export namespace latchkey::test {

/// Where nobody listens: no test asks a server that is not on this machine.
inline constexpr std::string_view kNobody = "http://127.0.0.1:9";

/// latchkey doctor, which asks nobody for the time.
[[nodiscard]] ToolStart doctor(const Home& home, std::vector<std::string> more = {});

struct Examined {
  struct Row {
    std::string id, severity, about, text;
    bool fixed = false;
  };
  int status = 0;
  std::vector<Row> rows;

  /// The severity of the first finding with this id, and " fixed" if it was mended; empty if there
  /// is none.
  [[nodiscard]] std::string operator[](std::string_view id) const;
  [[nodiscard]] std::string text_of(std::string_view id) const;
};
/// Runs a start of the doctor with --json. Throws std::runtime_error if it gives anything but
/// findings.
[[nodiscard]] Examined examine(ToolStart start);
[[nodiscard]] Examined examine(const Home& home, std::vector<std::string> more = {});

/// All names below, but for what SQLite makes and removes while a database is open.
[[nodiscard]] std::vector<std::string> all_paths(const std::filesystem::path& root);

/// A home with a store of files in a folder of its own, and Alice's and Bob's session in it.
struct FilesHome : Home {
  FilesHome();
  [[nodiscard]] std::shared_ptr<OAuthTokenStore> open() const;
  [[nodiscard]] std::string store_name() const { return "file:" + folder.native(); }
  [[nodiscard]] Examined examined(std::vector<std::string> more = {}) const;
  std::filesystem::path folder = path() / "files";
  std::filesystem::path alice;
};

}  // namespace latchkey::test
