// SPDX-License-Identifier: MIT
module;
#include <chrono>
export module latchkey.cli.live_check;
import latchkey.cli.options;
import latchkey.cli.workspace;
import latchkey.core.error;
import latchkey.session;

// Asks the servers whether sessions are really good, in bounded time.

export namespace latchkey::cli {

/// For one thread.
class LiveCheck {
 public:
  /// All checks together take at most `limit`, but that a refresh under way is finished; what is
  /// left over is timed out.
  LiveCheck(const Workspace& workspace, const Options& options, std::chrono::milliseconds limit);

  /// Renews the session if that is due, and asks who it is: the PDS, or the provider's userinfo
  /// endpoint if openid was granted. Of other providers nobody can be asked, and the token counts
  /// as good as long as it does here. Errors: those of doing so; resource_error, "check.refused";
  /// timeout, of a server or "check.timeout" (the limit was over before this one).
  [[nodiscard]] Result<void> operator()(const SessionSummary& session);

 private:
  [[nodiscard]] std::chrono::milliseconds left() const;

  const Workspace& workspace_;
  const Options& options_;
  std::chrono::steady_clock::time_point deadline_;
};

}  // namespace latchkey::cli
