// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.test.tool_places;
import latchkey.core;
import latchkey.session;
import latchkey.store;
import latchkey.store.vault;
import latchkey.test.folder;
import latchkey.test.raw_server;
import latchkey.test.tool;

// A home folder with sessions planted in it as the tool keeps them, and servers on loopback that
// they are good for.

export namespace latchkey::test {

inline constexpr std::string_view kAlice = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
inline constexpr std::string_view kBob = "did:plc:z72i7hdynmk6r22z27h6tvur";
/// What no output may ever show.
inline constexpr std::string_view kAccessToken = "acc-Marked9f8e7d6c5b4a39281706f5e4d3c2b1a0";
inline constexpr std::string_view kRefreshToken = "ref-Marked9f8e7d6c5b4a39281706f5e4d3c2b1a0";

/// An authorization server, a PDS and a PLC directory in one, for Alice. Answers as it is told to.
class Services {
 public:
  using Handler = std::function<std::string(const std::string& request)>;
  Services();

  [[nodiscard]] std::string origin() const { return server_->origin(); }
  /// `path` without query. The handler gives a whole HTTP answer.
  void on(const std::string& path, Handler handler);
  /// The requests to this path so far.
  [[nodiscard]] std::vector<std::string> requests_to(std::string_view path) const;

 private:
  std::string answer(const std::string& request);
  std::mutex mutex_;
  std::map<std::string, Handler, std::less<>> handlers_;
  std::unique_ptr<RawServer> server_;
};

/// A whole HTTP answer with a JSON body.
[[nodiscard]] std::string json_http(int status, std::string_view body,
                                    std::string_view headers = {});
[[nodiscard]] std::string token_answer(std::string_view access, std::string_view refresh);
/// What follows the head of a request.
[[nodiscard]] std::string body_of_request(std::string_view request);

class Home {
 public:
  [[nodiscard]] const std::filesystem::path& path() const { return folder_.path(); }
  [[nodiscard]] std::filesystem::path data_dir() const { return path() / "lk"; }

  /// The vault and store that the tool uses with --data-dir data_dir().
  [[nodiscard]] std::shared_ptr<KeyVault> vault() const;
  [[nodiscard]] std::shared_ptr<OAuthTokenStore> store() const;
  /// A session good for an hour from now, with a key in the vault.
  [[nodiscard]] OAuthSession session(std::string_view subject = kAlice,
                                     std::string_view origin = "https://pds.test") const;
  /// The same in the store, changed as wanted.
  void plant(std::string_view subject = kAlice, std::string_view origin = "https://pds.test",
             const std::function<void(OAuthSession&)>& change = {}) const;
  /// The command lines of all below start with --data-dir.
  [[nodiscard]] ToolStart start(std::vector<std::string> arguments) const;
  /// The same, with the servers in reach.
  [[nodiscard]] ToolStart start(std::vector<std::string> arguments, const Services& services) const;

 private:
  TemporaryFolder folder_;
};

/// Runs the tool to its end.
[[nodiscard]] ToolRun run(ToolStart start);

}  // namespace latchkey::test
