// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <string>
export module latchkey.loopback.browser;
import latchkey.core.error;
import latchkey.core.url;

// Opening a URL in the person's browser. Failing is normal (no display, SSH, CI) and never fatal:
// the URL is printed.

export namespace latchkey {

class BrowserOpener {
 public:
  BrowserOpener() = default;
  BrowserOpener(const BrowserOpener&) = delete;
  BrowserOpener& operator=(const BrowserOpener&) = delete;
  virtual ~BrowserOpener();
  /// Error: io, "browser.not_opened".
  [[nodiscard]] virtual Result<void> open(const Url& url) = 0;
};

/// $BROWSER, xdg-open, and what else opens URLs here; never through a shell, only http and https
/// URLs.
[[nodiscard]] std::shared_ptr<BrowserOpener> system_browser();
/// The program that system_browser() would start first, for diagnosis; empty if there is none.
[[nodiscard]] std::optional<std::string> system_browser_program();

}  // namespace latchkey
