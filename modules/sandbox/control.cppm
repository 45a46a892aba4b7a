// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <memory>
#include <string>
export module latchkey.sandbox.control;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.sandbox;

// What a test in C++ does to a sandbox by calling it, for tests in any language: HTTP on loopback,
// JSON both ways. docs/sandbox.md lists the calls.

export namespace latchkey::sandbox {

struct ControlOptions {
  std::uint16_t port = 0;  ///< 0: any free one
  std::shared_ptr<Random> random{};
};

/// Thread-safe. Listens on 127.0.0.1 while it lives. Every call must have the token (a web page
/// that finds the port has none) and the right Host (so that no page gets here by DNS rebinding).
class ControlServer {
 public:
  /// `sandbox` must live longer. Error: io, "sandbox.bind".
  [[nodiscard]] static Result<std::unique_ptr<ControlServer>> start(Sandbox& sandbox,
                                                                    ControlOptions options = {});
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;
  ~ControlServer();

  /// http://127.0.0.1:PORT
  [[nodiscard]] const std::string& url() const noexcept;
  /// For `Authorization: Bearer`. Drawn at the start; it opens nothing but this sandbox.
  [[nodiscard]] const std::string& token() const noexcept;

 private:
  struct Impl;
  explicit ControlServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace latchkey::sandbox
