// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.test.provider;
import latchkey.sandbox;
import latchkey.session;
import latchkey.test.sandbox_world;
import latchkey.test.tool;
import latchkey.test.tool_places;

// A provider that is no AT Protocol server, and the tool at home with it.

export namespace latchkey::test {

/// The sandbox in its part of an OpenID provider. "public app" has no secret, "books app" has
/// kBookSecret. alice approves by herself.
struct Provider {
  Provider();

  std::unique_ptr<sandbox::Sandbox> servers;
  sandbox::Account alice;
  Home home{};
  FollowingBrowser browser{};

  /// The tool's home, with http allowed to the sandbox.
  [[nodiscard]] ToolStart start(std::vector<std::string> words) const;
  /// A login by a browser on this machine, to its end.
  ToolRun log_in(std::vector<std::string> words);
  /// As "public app" under the name "work".
  ToolRun log_in_to_work(std::vector<std::string> more = {});
  [[nodiscard]] OAuthSession stored(std::string_view profile) const;
  /// Written as the tool wants it: 0600.
  [[nodiscard]] std::string secret_file(std::string_view name, std::string_view text) const;
  [[nodiscard]] std::string config_of(std::string_view profile) const;
  /// None of the secrets that passed stands in `text`.
  void check_no_secret(std::string_view text) const;
};

inline constexpr std::string_view kBookSecret = "sec-Marked 1/2+3";

/// The first line of standard error that is an address.
[[nodiscard]] std::string shown_address(std::string_view said);

}  // namespace latchkey::test
