// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.atproto.xrpc_client;
export import latchkey.atproto.xrpc;
import latchkey.atproto.permissions;
import latchkey.core.error;
import latchkey.http;
import latchkey.refresh.authorized;
import latchkey.refresh.keeper;
import latchkey.session;

// XRPC calls to an account's PDS with the session's token and proof: what is sent, what is not sent
// because the session lacks the permission, and where to when the account has moved.

export namespace latchkey {

/// In the order in which they are sent; a name may occur several times.
using QueryParameters = std::vector<std::pair<std::string, std::string>>;

/// A call of an XRPC method.
struct XrpcCall {
  std::string nsid;
  QueryParameters parameters{};
  /// DID#service: the PDS passes the call on to that service (atproto-proxy). Empty: its own.
  std::string proxy{};
  /// Further headers, such as atproto-accept-labelers. Those that the library sets are refused.
  std::vector<std::pair<std::string, std::string>> headers{};
  std::stop_token stop{};
};

struct XrpcAnswer {
  std::string text;  ///< whatever it is; mostly JSON
  std::string content_type;
  RateLimit rate_limit;
};

struct PdsOptions {
  /// Sends also what the session's scope does not allow, as far as it is known here, and lets the
  /// server decide.
  bool without_preflight = false;
};

/// The body of a procedure: text, or a source that is read while it is sent.
struct XrpcBody {
  std::string_view content_type = "application/json";
  std::string_view text{};
  std::shared_ptr<BodySource> source{};
};

/// How a call may travel, and what the session must be allowed.
struct XrpcConduct {
  Repeat repeat = Repeat::never;
  Connection connection = Connection::fresh;
  /// The permissions that are lacking, as words of a scope; asked before each sending.
  std::function<std::vector<std::string>(const Permissions&)> lacking{};
  std::chrono::milliseconds timeout{30'000};
};

/// Thread-safe; cheap to copy. Errors of every call: those of SessionKeeper::fresh and of the
/// transport; invalid_argument, "nsid.malformed", "service.malformed", "xrpc.header" (reserved or
/// malformed); insufficient_scope, "scope.missing" (nothing was sent; the message names what to ask
/// for); login_required, "session.issuer_changed" (another server is in charge of the account now;
/// the session is kept); and those of xrpc_error.
///
/// A refusal that says that the account is not here any more, and a server that can't be reached,
/// lead to a fresh look at the DID document, at most once a minute: if the PDS is another one under
/// the same issuer, the session is changed durably and the call sent there (C7.13).
class XrpcClient {
 public:
  XrpcClient(std::shared_ptr<SessionKeeper> keeper, std::string did, PdsOptions options)
      : keeper_(std::move(keeper)), did_(std::move(did)), options_(options) {}

  [[nodiscard]] Result<XrpcAnswer> get(const XrpcCall& call) const;
  [[nodiscard]] Result<XrpcAnswer> post(const XrpcCall& call, const XrpcBody& body,
                                        const XrpcConduct& conduct) const;

  [[nodiscard]] const std::string& did() const noexcept { return did_; }

 private:
  [[nodiscard]] Result<XrpcAnswer> send(std::string_view method, const XrpcCall& call,
                                        const XrpcBody& body, const XrpcConduct& conduct) const;
  [[nodiscard]] Result<HttpRequest> request_for(const SessionSummary& session,
                                                std::string_view method, const XrpcCall& call,
                                                const XrpcBody& body) const;
  [[nodiscard]] Result<void> check_permissions(const SessionSummary& session, const XrpcCall& call,
                                               const XrpcConduct& conduct) const;

  std::shared_ptr<SessionKeeper> keeper_;
  std::string did_;
  PdsOptions options_;
};

}  // namespace latchkey
