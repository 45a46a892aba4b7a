// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>
export module latchkey.test.example_provider;
import latchkey.sandbox;
import latchkey.test.folder;
import latchkey.test.program;

// The sandbox as a provider for the examples, with Alice, who approves by herself, and a browser
// that goes where it is sent.

export namespace latchkey::test {

inline constexpr const char* kPublicClient = "public client";

class Provider {
 public:
  /// `redirect_uri`: of the public client.
  explicit Provider(const std::string& redirect_uri = "http://127.0.0.1/callback");

  [[nodiscard]] sandbox::Sandbox& servers() const { return *servers_; }
  [[nodiscard]] const std::string& issuer() const { return servers_->issuer(); }
  [[nodiscard]] std::string endpoint(const std::string& path) const { return issuer() + path; }
  /// A new folder for one example's data.
  [[nodiscard]] std::string folder() const { return folder_.path().native(); }
  /// Requests to the token endpoint so far.
  [[nodiscard]] std::size_t token_requests() const;

  /// An example's command line, in an environment in which http and our browser are there.
  /// `variables`: more of it, "NAME=value".
  [[nodiscard]] std::vector<std::string> words(std::vector<std::string> program,
                                               std::vector<std::string> variables = {}) const;
  [[nodiscard]] ProgramRun run(std::vector<std::string> program,
                               std::vector<std::string> variables = {}) const {
    return run_program(words(std::move(program), std::move(variables)));
  }

 private:
  TemporaryFolder folder_;
  std::unique_ptr<sandbox::Sandbox> servers_;
};

}  // namespace latchkey::test
