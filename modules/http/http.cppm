// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.http;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.url;

// The contract between protocol and network. Two adapters implement it: latchkey.http.cpprest for
// authorised traffic to endpoints that were checked, latchkey.http.curl for addresses that
// strangers supply. Neither follows redirects, sends a request twice, or returns more than the caps
// allow.

export namespace latchkey {

/// Header fields in order. Names compare without case.
class Headers {
 public:
  /// Appends; spaces around the value are dropped. Refuses names that are not tokens (RFC 9110
  /// §5.6.2) and values with CR, LF, NUL or other control characters but tab. Error:
  /// invalid_argument, "header.name" or "header.value".
  [[nodiscard]] Result<void> add(std::string_view name, std::string_view value);
  /// Like add, but replaces what has the same name.
  [[nodiscard]] Result<void> set(std::string_view name, std::string_view value);
  void remove(std::string_view name);
  /// The first value, or nullptr.
  [[nodiscard]] const std::string* find(std::string_view name) const noexcept;
  [[nodiscard]] std::vector<std::string_view> all(std::string_view name) const;
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& fields() const noexcept {
    return fields_;
  }
  [[nodiscard]] std::size_t size() const noexcept { return fields_.size(); }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

/// The Authorization header in two parts, so that the token stays a secret until an adapter writes
/// it.
struct Authorization {
  enum class Scheme { bearer, dpop, basic } scheme = Scheme::bearer;
  SecretString credentials;
  [[nodiscard]] Authorization clone() const { return {scheme, credentials.clone()}; }
};

/// Reads a body from its first byte to its last, once.
class BodyReader {
 public:
  BodyReader() = default;
  BodyReader(const BodyReader&) = delete;
  BodyReader& operator=(const BodyReader&) = delete;
  virtual ~BodyReader();
  /// Fills `to` as far as there is something; 0 at the end. May block: a thread of its own calls
  /// it, which is left behind if the exchange ends first. Throws nothing.
  [[nodiscard]] virtual Result<std::size_t> read(std::span<unsigned char> to) = 0;
};

/// A body that is read while it is sent, so that it need not fit into memory.
class BodySource {
 public:
  BodySource() = default;
  BodySource(const BodySource&) = delete;
  BodySource& operator=(const BodySource&) = delete;
  virtual ~BodySource();
  /// What is sent as Content-Length. A reader that gives another number of bytes breaks the
  /// exchange off.
  [[nodiscard]] virtual std::uint64_t size() const = 0;
  /// False: it can be opened once only, so that a request with it is never sent again.
  [[nodiscard]] virtual bool is_replayable() const = 0;
  /// Called once for each sending. The error of a second opening where that is impossible:
  /// invalid_argument, "body.not_replayable".
  [[nodiscard]] virtual Result<std::unique_ptr<BodyReader>> open() = 0;
};

/// A request. Move-only, because its body and authorization may be secrets.
struct HttpRequest {
  std::string method = "GET";  ///< upper case, as sent
  Url url;
  Headers headers{};
  SecretString body{};
  std::optional<Authorization> authorization{};
  /// For a body that holds what is good for one attempt only, such as a client assertion: makes the
  /// body of the next attempt. Empty: the same body may be sent again. Called by a transport that
  /// repeats a request because the server asks for it.
  std::function<Result<SecretString>()> renew_body{};
  std::shared_ptr<BodySource> body_source{};  ///< instead of `body`; shared by clones
  [[nodiscard]] HttpRequest clone() const;
  /// False if its body can be read once only.
  [[nodiscard]] bool is_replayable() const;
};

/// A form POST with `Accept: application/json`.
[[nodiscard]] HttpRequest form_post(const Url& url, SecretString body);
/// A GET with `Accept: application/json`.
[[nodiscard]] HttpRequest json_get(const Url& url);

/// May the request travel on a connection that was used before? A POST that must not be sent twice
/// uses a fresh one.
enum class Connection { fresh, pooled };

struct SendOptions {
  std::chrono::milliseconds timeout{30'000};  ///< the whole exchange, connecting included
  std::chrono::milliseconds connect_timeout{10'000};
  std::size_t max_body = 512 * 1024;
  std::size_t max_headers = 64 * 1024;
  Connection connection = Connection::fresh;
  std::stop_token stop{};
};

/// An answer. Any status is an answer; only its absence is an error.
struct HttpResponse {
  int status = 0;
  Headers headers{};
  SecretString body{};
};

/// Sends requests. Thread-safe.
/// Errors: insecure_address, unreachable, tls_failed, timeout, cancelled, connection_lost,
/// response_too_large; invalid_response for what is not HTTP; invalid_argument for a request that
/// must not be sent. Each has `delivery`: `maybe_sent` unless it is certain that no byte of the
/// request reached the server.
class HttpTransport {
 public:
  HttpTransport() = default;
  HttpTransport(const HttpTransport&) = delete;
  HttpTransport& operator=(const HttpTransport&) = delete;
  virtual ~HttpTransport();
  [[nodiscard]] virtual Result<HttpResponse> send(const HttpRequest& request,
                                                  const SendOptions& options) = 0;
};

/// True if Content-Type is application/json or ends in +json, whatever its parameters.
[[nodiscard]] bool has_json_content(const HttpResponse& response);
/// Retry-After (seconds or HTTP date, RFC 9110 §10.2.3), at most one day. `now` for the date form.
[[nodiscard]] std::optional<std::chrono::seconds> retry_after(
    const HttpResponse& response, std::chrono::sys_time<std::chrono::milliseconds> now);

/// One challenge of WWW-Authenticate (RFC 9110 §11.6.1).
struct Challenge {
  std::string scheme;                                           ///< as sent
  std::vector<std::pair<std::string, std::string>> parameters;  ///< names lower case
  [[nodiscard]] const std::string* find(std::string_view name) const noexcept;
};
/// Parses all WWW-Authenticate fields by the header grammar; empty when they do not parse.
[[nodiscard]] std::vector<Challenge> parse_challenges(const Headers& headers);

}  // namespace latchkey
