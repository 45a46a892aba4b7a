// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
export module latchkey.core.error;

// What can go wrong, and how functions say so. Everything that can fail because of input, a peer,
// the disk or time returns Result<T>; programs switch on Error::code, tests and documents name
// Error::detail, people read Error::message. "Absent" is never an error: it is an empty optional
// inside a Result.

export namespace latchkey {

/// The outcomes a program branches on. Under each code, Error::detail is a stable dotted name of
/// the exact cause.
enum class ErrorCode {
  // input
  invalid_argument,  ///< the caller passed something that is not allowed, or text that does not
                     ///< parse or decode
  invalid_url,       ///< not a URL, or a URL that is not allowed there
  // transport
  insecure_address,    ///< refused by policy before anything was sent: http, private address,
                       ///< redirect
  unreachable,         ///< no connection: name, address, refused
  tls_failed,          ///< the peer's certificate or handshake was refused
  timeout,             ///< a deadline passed
  cancelled,           ///< the caller's stop_token asked for it
  connection_lost,     ///< the connection broke after it was made
  response_too_large,  ///< a cap on headers or body was reached
  // protocol
  invalid_response,    ///< an answer that is not what the protocol says
  invalid_metadata,    ///< server, resource or client metadata that breaks a rule
  identity_not_found,  ///< handle or DID does not resolve
  identity_mismatch,   ///< handle, DID, PDS and issuer do not name each other
  provider_error,      ///< the server answered with an OAuth error that has no code of its own; see
                       ///< Error::oauth
  access_denied,       ///< the user or the server said no
  invalid_grant,       ///< code or refresh token refused
  invalid_client,      ///< the server does not accept this client
  dpop_refused,        ///< proof refused, or a second use_dpop_nonce in a row
  callback_invalid,    ///< the redirect back to us breaks a rule (state, iss, code)
  token_invalid,       ///< a token answer that was refused after checks (sub, scope, token_type)
  // session
  login_required,       ///< no session for this subject
  session_dead,         ///< the session ended; its tombstone holds the cause
  refresh_interrupted,  ///< an earlier refresh was cut off and its outcome is lost: log in again
  session_not_durable,  ///< refreshed, but not saved yet: see SessionKeeper::unsaved
  client_mismatch,      ///< the stored session belongs to another client_id
  backing_off,          ///< a recent attempt failed; Error::retry_after says how long to wait
  // storage
  conflict,           ///< someone else saved first
  corrupt,            ///< stored data does not decode or authenticate
  locked,             ///< a lease, a file or a vault is held or locked
  wrong_key,          ///< the key given is not the one that sealed this
  schema_too_new,     ///< written by a newer latchkey
  insecure_location,  ///< permissions, owner or file system do not allow keeping secrets there
  io,  ///< the operating system refused: disk full, read-only, and so on (detail says which)
  // crypto
  invalid_key,  ///< a key that breaks a rule: off-curve, zero, wrong type
  key_missing,  ///< the session's key is not in the vault
  // resource servers
  resource_error,      ///< an XRPC or HTTP error that has no code of its own
  record_not_found,    ///< no such record or repository
  invalid_swap,        ///< swapRecord or swapCommit did not match
  insufficient_scope,  ///< the session lacks a permission
  rate_limited,        ///< slow down; Error::retry_after if the server said when
};

/// The enumerator's name, e.g. "invalid_grant". Stable.
[[nodiscard]] std::string_view to_string(ErrorCode code) noexcept;

/// The error members of an OAuth error answer (RFC 6749 §5.2), cut to 512 characters each, control
/// characters removed.
struct OAuthErrorBody {
  std::string error;
  std::string error_description;
  std::string error_uri;
};

/// Whether a request that failed may have reached the server. Only transports set anything but
/// `not_sent`.
enum class Delivery { not_sent, maybe_sent };

/// A failure. `message` reads "problem: cause; remedy", lower case, never with a secret in it.
struct Error {
  ErrorCode code{};
  std::string detail;  ///< stable dotted name under the code, e.g. "metadata.issuer_mismatch"
  std::string message;
  std::optional<OAuthErrorBody> oauth{};
  int http_status = 0;  ///< 0: no HTTP answer was involved
  std::optional<std::chrono::seconds> retry_after{};
  Delivery delivery = Delivery::not_sent;
};

/// Shorthand for the three members that every error has.
[[nodiscard]] Error make_error(ErrorCode code, std::string_view detail, std::string message);

/// Thrown by Result::value() on an error, for scripts and examples. The library throws nothing else
/// on purpose.
class Exception : public std::exception {
 public:
  explicit Exception(Error error);
  [[nodiscard]] const Error& error() const noexcept { return error_; }
  [[nodiscard]] const char* what() const noexcept override { return what_.c_str(); }

 private:
  Error error_;
  std::string what_;
};

/// Throws Exception. Out of line so that Result<T> stays small.
[[noreturn]] void throw_exception(const Error& error);

/// A value or an Error, with std::expected's member names.
template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
  template <class U = T>
    requires(std::is_constructible_v<T, U &&> && !std::is_same_v<std::remove_cvref_t<U>, Result> &&
             !std::is_same_v<std::remove_cvref_t<U>, Error>)
  Result(U&& value) : state_(std::in_place_index<0>, std::forward<U>(value)) {}

  [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  [[nodiscard]] T& value() & { return check(), *std::get_if<0>(&state_); }
  [[nodiscard]] const T& value() const& { return check(), *std::get_if<0>(&state_); }
  [[nodiscard]] T&& value() && { return check(), std::move(*std::get_if<0>(&state_)); }

  /// Undefined without a value, like std::expected.
  [[nodiscard]] T& operator*() & noexcept { return *std::get_if<0>(&state_); }
  [[nodiscard]] const T& operator*() const& noexcept { return *std::get_if<0>(&state_); }
  [[nodiscard]] T&& operator*() && noexcept { return std::move(*std::get_if<0>(&state_)); }
  [[nodiscard]] T* operator->() noexcept { return std::get_if<0>(&state_); }
  [[nodiscard]] const T* operator->() const noexcept { return std::get_if<0>(&state_); }

  /// Undefined without an error.
  [[nodiscard]] const Error& error() const& noexcept { return *std::get_if<1>(&state_); }
  [[nodiscard]] Error&& error() && noexcept { return std::move(*std::get_if<1>(&state_)); }

  template <class U>
  [[nodiscard]] T value_or(U&& other) && {
    return has_value() ? std::move(**this) : static_cast<T>(std::forward<U>(other));
  }

  template <class F>
  [[nodiscard]] auto and_then(F&& next) && -> std::invoke_result_t<F, T&&> {
    if (has_value()) return std::forward<F>(next)(std::move(**this));
    return std::move(*this).error();
  }

  template <class F>
  [[nodiscard]] auto transform(F&& convert) && -> Result<std::invoke_result_t<F, T&&>> {
    if (has_value()) return std::forward<F>(convert)(std::move(**this));
    return std::move(*this).error();
  }

 private:
  void check() const {
    if (!has_value()) throw_exception(error());
  }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  [[nodiscard]] bool has_value() const noexcept { return !error_; }
  explicit operator bool() const noexcept { return has_value(); }
  void value() const {
    if (error_) throw_exception(*error_);
  }
  [[nodiscard]] const Error& error() const& noexcept { return *error_; }
  [[nodiscard]] Error&& error() && noexcept { return std::move(*error_); }

  template <class F>
  [[nodiscard]] auto and_then(F&& next) && -> std::invoke_result_t<F> {
    if (has_value()) return std::forward<F>(next)();
    return std::move(*this).error();
  }

 private:
  std::optional<Error> error_;
};

}  // namespace latchkey
