// SPDX-License-Identifier: MIT
module;
#include <span>
#include <string>
#include <string_view>
export module latchkey.http.trace.words;
import latchkey.core.url;

// What a trace may say. Each type here can be made in one way only, and that way keeps secrets
// out: a trace is what people paste into reports, and what servers and strangers send may repeat
// our tokens.

export namespace latchkey {

/// A word out of the text of this program. No other text can become one.
class TraceWord {
 public:
  constexpr TraceWord() noexcept = default;
  /// A literal; anything else does not compile.
  consteval TraceWord(const char* literal) : text_(literal) {}
  /// The one of `known` that `text` is; "unlisted" if it is none of them, so that a word from
  /// elsewhere is compared and never repeated; empty for an empty text.
  [[nodiscard]] static TraceWord listed(std::string_view text, std::span<const TraceWord> known);

  [[nodiscard]] constexpr std::string_view text() const noexcept { return text_; }
  [[nodiscard]] constexpr bool empty() const noexcept { return text_.empty(); }
  [[nodiscard]] constexpr bool operator==(const TraceWord&) const noexcept = default;

 private:
  std::string_view text_;
};

/// The method of a request: one of those of RFC 9110 and PATCH, or "unlisted".
[[nodiscard]] TraceWord traced_method(std::string_view method);
/// The error that a server names: one of OAuth's registered ones, those of RFC 6750, 8628, 9126 and
/// 9449, and those of the AT Protocol's servers; "unlisted" if it is another.
[[nodiscard]] TraceWord traced_error(std::string_view error);

/// scheme://host[:port]. A label of a host name with more than 24 characters is "*": who gives us
/// addresses could have put anything there.
class TraceOrigin {
 public:
  TraceOrigin() = default;
  explicit TraceOrigin(const Url& url);
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

/// A path without its query, of which only words are left that paths of such servers have ("oauth",
/// "token", ".well-known") and, behind "/xrpc/", the NSID. Every other part is "*".
class TracePath {
 public:
  TracePath() = default;
  explicit TracePath(const Url& url);
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

/// Error::detail: lower-case words joined by dots. Anything else is "unlisted".
class TraceDetail {
 public:
  TraceDetail() = default;
  explicit TraceDetail(std::string_view detail);
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

/// The first eight characters of a key's RFC 7638 thumbprint: enough to tell keys apart.
class TraceKey {
 public:
  TraceKey() = default;
  /// Of the public key in a DPoP proof (RFC 9449 §4.2); empty if it has no P-256 key.
  explicit TraceKey(std::string_view proof);
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

}  // namespace latchkey
