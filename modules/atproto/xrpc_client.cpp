// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.atproto.xrpc_client;
import latchkey.atproto.identifier;
import latchkey.atproto.permission;
import latchkey.atproto.permissions;
import latchkey.atproto.xrpc;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.policy;
import latchkey.refresh.authorized;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.session;

namespace latchkey {
namespace {

// What the library or the transport sets.
constexpr std::array<std::string_view, 14> kReservedHeaders{"accept",
                                                            "atproto-proxy",
                                                            "authorization",
                                                            "connection",
                                                            "content-encoding",
                                                            "content-type",
                                                            "content-length",
                                                            "cookie",
                                                            "dpop",
                                                            "host",
                                                            "te",
                                                            "transfer-encoding",
                                                            "upgrade",
                                                            "proxy-authorization"};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

Result<void> check_call(const XrpcCall& call) {
  if (auto nsid = parse_nsid(call.nsid); !nsid) return std::move(nsid).error();
  if (!call.proxy.empty()) {
    if (auto service = parse_service(call.proxy); !service) return std::move(service).error();
  }
  for (const auto& [name, value] : call.headers) {
    const std::string known = lower(name);
    if (std::find(kReservedHeaders.begin(), kReservedHeaders.end(), known) !=
        kReservedHeaders.end()) {
      return make_error(ErrorCode::invalid_argument, "xrpc.header",
                        "cannot call " + call.nsid + " with a header " + printable(name, 50) +
                            " of yours: the library sets it itself; leave it out");
    }
  }
  return {};
}

std::string target_of(const XrpcCall& call) {
  std::string target = "/xrpc/" + call.nsid;
  for (std::size_t i = 0; i < call.parameters.size(); ++i) {
    target += (i == 0 ? '?' : '&') + percent_encode(call.parameters[i].first) + '=' +
              percent_encode(call.parameters[i].second);
  }
  return target;
}

Result<void> set_headers(const XrpcCall& call, const XrpcBody& body, HttpRequest& request) {
  if (auto set = request.headers.set("Accept", "application/json"); !set) return set;
  if (!call.proxy.empty()) {
    if (auto set = request.headers.set("atproto-proxy", call.proxy); !set) return set;
  }
  if (!body.text.empty() || body.source) {
    if (auto set = request.headers.set("Content-Type", body.content_type); !set) return set;
  }
  for (const auto& [name, value] : call.headers) {
    if (auto added = request.headers.add(name, value); !added) {
      return make_error(
          ErrorCode::invalid_argument, "xrpc.header",
          "cannot call " + call.nsid + ": its header " + printable(name, 50) + " is malformed");
    }
  }
  return {};
}

// Does this outcome say that the account may be on another server by now? Nothing was done in any
// of these cases, so that the call may be sent again. A machine that is switched off does not
// answer: the connection times out. A refresh that takes long says nothing about it.
bool hints_at_move(const Error& error) {
  constexpr std::array<std::string_view, 5> kNames{"xrpc.AccountDeactivated",
                                                   "xrpc.RepoDeactivated", "xrpc.AccountNotFound",
                                                   "xrpc.AccountTakedown", "xrpc.RepoTakendown"};
  constexpr std::array kUnreached{ErrorCode::unreachable, ErrorCode::tls_failed,
                                  ErrorCode::timeout};
  if (std::find(kUnreached.begin(), kUnreached.end(), error.code) != kUnreached.end())
    return error.delivery == Delivery::not_sent && error.detail != "refresh.timeout";
  return std::find(kNames.begin(), kNames.end(), error.detail) != kNames.end();
}

// Is the session's server another one by now than a call was made for (empty: it was not made)?
// Also when it was somebody else who found that out.
bool has_left(SessionKeeper& keeper, const std::string& did, const std::string& server) {
  if (server.empty()) return false;
  const auto stored = keeper.context().store->load(did);
  return stored && *stored && (**stored).resource_server != server;
}

Error issuer_changed(const std::string& did) {
  return make_error(ErrorCode::login_required, "session.issuer_changed",
                    "the session of " + printable(did, 100) +
                        " is of no use any more: another authorization server is in charge of the "
                        "account now; log in again");
}

}  // namespace

Result<void> XrpcClient::check_permissions(const SessionSummary& session, const XrpcCall& call,
                                           const XrpcConduct& conduct) const {
  if (options_.without_preflight) return {};
  const Permissions permissions = Permissions::of(session.scope);
  std::vector<std::string> lacking;
  if (conduct.lacking) lacking = conduct.lacking(permissions);
  if (!call.proxy.empty() && permissions.allows_rpc(call.nsid, call.proxy) == Answer::no)
    lacking.push_back(rpc_permission(call.nsid, call.proxy));
  if (lacking.empty()) return {};
  std::string words;
  for (const std::string& word : lacking) words += (words.empty() ? "" : " ") + word;
  return make_error(ErrorCode::insufficient_scope, "scope.missing",
                    "cannot call " + call.nsid + ": the session of " + printable(did_, 100) +
                        " was not granted " + printable(words, 1000) +
                        "; log in again and ask for it");
}

Result<HttpRequest> XrpcClient::request_for(const SessionSummary& session, std::string_view method,
                                            const XrpcCall& call, const XrpcBody& body) const {
  auto base = Url::parse(session.resource_server);
  if (!base) return std::move(base).error();
  auto url = base->with_target(target_of(call));
  if (!url) return std::move(url).error();
  HttpRequest request{.method = std::string(method), .url = *std::move(url)};
  if (auto set = set_headers(call, body, request); !set) return std::move(set).error();
  request.body = SecretString(body.text);
  request.body_source = body.source;
  return request;
}

Result<XrpcAnswer> XrpcClient::send(std::string_view method, const XrpcCall& call,
                                    const XrpcBody& body, const XrpcConduct& conduct) const {
  if (auto checked = check_call(call); !checked) return std::move(checked).error();
  std::string called;
  const RequestMaker make = [&](const SessionSummary& session) -> Result<HttpRequest> {
    called = session.resource_server;
    if (auto may = check_permissions(session, call, conduct); !may) return std::move(may).error();
    return request_for(session, method, call, body);
  };
  SendOptions options = resource_limits(call.stop);
  options.connection = conduct.connection;
  options.timeout = conduct.timeout;
  const auto attempt = [&]() -> Result<XrpcAnswer> {
    auto answer = send_authorized(*keeper_, did_, make, conduct.repeat, options);
    if (!answer) return std::move(answer).error();
    if (answer->status != 200)
      return xrpc_error(call.nsid, *answer, keeper_->context().clock->now());
    const std::string* type = answer->headers.find("Content-Type");
    return XrpcAnswer{.text = std::string(answer->body.expose()),
                      .content_type = type == nullptr ? "" : *type,
                      .rate_limit = rate_limit_of(*answer)};
  };
  auto answer = attempt();
  if (!answer && answer.error().detail == "issuer.not_authoritative") return issuer_changed(did_);
  if (answer || !hints_at_move(answer.error())) return answer;
  const auto moved = keeper_->relocate(did_, {.stop = call.stop});
  if (!moved && moved.error().detail == "issuer.not_authoritative") return issuer_changed(did_);
  const bool used_up = body.source && !body.source->is_replayable();
  const bool elsewhere = (moved && *moved) || has_left(*keeper_, did_, called);
  if (used_up || !elsewhere) return answer;
  return attempt();
}

Result<XrpcAnswer> XrpcClient::get(const XrpcCall& call) const {
  return send("GET", call, {},
              {.repeat = Repeat::safe, .connection = Connection::pooled, .lacking = {}});
}

Result<XrpcAnswer> XrpcClient::post(const XrpcCall& call, const XrpcBody& body,
                                    const XrpcConduct& conduct) const {
  return send("POST", call, body, conduct);
}

}  // namespace latchkey
