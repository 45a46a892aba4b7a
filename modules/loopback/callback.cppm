// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
export module latchkey.loopback.callback;

// The redirect that arrived, and what is said to the browser that brought it.

export namespace latchkey {

/// What the built-in pages need: their own style, and nothing from anywhere.
inline constexpr std::string_view kSelfContainedPolicy =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'";

/// A page as it is sent.
struct ResultPage {
  std::string html;
  /// The Content-Security-Policy that comes with it. One with control characters or other than
  /// ASCII is replaced by kSelfContainedPolicy.
  std::string policy{kSelfContainedPolicy};
};

/// The browser that brought the callback, waiting for its page; it may outlive the receiver.
/// Destroying it unanswered shows a neutral page. One thread at a time.
class HeldCallback {
 public:
  HeldCallback() = default;
  HeldCallback(const HeldCallback&) = delete;
  HeldCallback& operator=(const HeldCallback&) = delete;
  virtual ~HeldCallback();
  /// The query as received, without "?".
  [[nodiscard]] virtual std::string_view query() const noexcept = 0;
  /// Sends the page and closes. Only the first call does anything. Returns when the page is
  /// written, or after five seconds.
  virtual void answer(int status, const ResultPage& page) = 0;
  /// The same with kSelfContainedPolicy.
  void answer(int status, std::string_view html);
};

}  // namespace latchkey
