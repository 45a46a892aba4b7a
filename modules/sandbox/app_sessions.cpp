// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.sandbox.app_sessions;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.time;
import latchkey.sandbox.accounts;
import latchkey.sandbox.message;
import latchkey.sandbox.tokens;
import latchkey.sandbox.write_request;

namespace latchkey::sandbox {
namespace {

using namespace std::chrono_literals;

constexpr Duration kRefreshLifetime = 24h * 90;
constexpr std::string_view kBearer = "Bearer ";

Error over(std::string_view fact, std::string description) {
  return refusal("ExpiredToken", "app_session." + std::string(fact), std::move(description));
}

std::string seconds_of(TimePoint time) {
  return std::to_string(
      std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count());
}

}  // namespace

std::string AppSessions::add_password(std::string_view did) {
  constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz234567";
  unsigned char drawn[16];
  random_.fill(drawn);
  std::string password;
  for (std::size_t i = 0; i < sizeof drawn; ++i) {
    if (i > 0 && i % 4 == 0) password += '-';
    password += letters[drawn[i] % letters.size()];
  }
  passwords_[std::string(did)].insert(password);
  return password;
}

void AppSessions::revoke_passwords(std::string_view did) {
  passwords_.erase(std::string(did));
  for (auto& [id, session] : sessions_) {
    if (session.did == did) session.alive = false;
  }
}

std::optional<Result<Response>> AppSessions::procedure(std::string_view nsid,
                                                       const Request& request) {
  if (request.method != "POST") return std::nullopt;
  if (nsid == "com.atproto.server.createSession") return create(request);
  if (nsid == "com.atproto.server.refreshSession") return refresh(request);
  if (nsid == "com.atproto.server.deleteSession") return remove(request);
  return std::nullopt;
}

Result<Response> AppSessions::create(const Request& request) {
  const auto body = read_json_body(request);
  if (!body) return body.error();
  const auto identifier = body->required_string("identifier");
  const auto password = body->required_string("password");
  if (!identifier || !password) {
    return invalid_input("app_session.input", "Input must have identifier and password");
  }
  // The account's own password is good too, as at a real PDS.
  const Account* account = accounts_.find_here(*identifier);
  const auto drawn = passwords_.find(account == nullptr ? std::string() : account->did);
  const bool good =
      account != nullptr && (account->password == *password ||
                             (drawn != passwords_.end() && drawn->second.contains(*password)));
  if (!good) {
    return refusal("AuthenticationRequired", "app_session.refused",
                   "Invalid identifier or password", 401);
  }
  const SessionId id = sessions_.size() + 1;
  sessions_[id].did = account->did;
  return issue(id);
}

Result<Response> AppSessions::refresh(const Request& request) {
  const auto id = presented(request);
  if (!id) return id.error();
  return issue(*id);
}

Result<Response> AppSessions::remove(const Request& request) {
  const auto id = presented(request);
  if (!id) return id.error();
  sessions_.at(*id).alive = false;
  return json_answer(200, "{}");
}

// The session whose current refresh token the request carries.
Result<AppSessions::SessionId> AppSessions::presented(const Request& request) {
  const auto values = request.headers.all("Authorization");
  if (values.size() != 1 || !values[0].starts_with(kBearer)) {
    return refusal("AuthMissing", "app_session.missing", "Authentication Required", 401);
  }
  const auto token = values[0].substr(kBearer.size());
  const auto found = refresh_tokens_.find(std::string(token));
  if (found == refresh_tokens_.end()) {
    return refusal("InvalidToken", "app_session.wrong_token", "Token could not be verified");
  }
  Session& session = sessions_.at(found->second);
  if (!session.alive || accounts_.find_here(session.did) == nullptr) {
    return over("ended", "Token has been revoked");
  }
  if (session.refresh != token) {
    session.alive = false;
    return over("replayed", "Token has been revoked");
  }
  if (clock_.now() >= session.refresh_expires) return over("expired", "Token has expired");
  return found->second;
}

Response AppSessions::issue(SessionId id) {
  Session& session = sessions_.at(id);
  const TimePoint access_expires = clock_.now() + access_lifetime_;
  session.refresh_expires = clock_.now() + kRefreshLifetime;
  const std::string access = draw_token("com.atproto.appPass", session.did, access_expires);
  session.refresh = draw_token("com.atproto.refresh", session.did, session.refresh_expires);
  access_tokens_.emplace(access, Access{id, access_expires});
  refresh_tokens_.emplace(session.refresh, id);
  const Account* account = accounts_.find(session.did);
  return json_answer(
      200,
      json_object({{"accessJwt", json_quote(access)},
                   {"refreshJwt", json_quote(session.refresh)},
                   {"handle", json_quote(account == nullptr ? "handle.invalid" : account->handle)},
                   {"did", json_quote(session.did)},
                   {"active", "true"}}));
}

// A JWT to look at. Its signature is random: we know our tokens by heart.
std::string AppSessions::draw_token(std::string_view scope, std::string_view did,
                                    TimePoint expires) {
  const auto part = [](const std::string& json) { return base64url_encode(as_bytes(json)); };
  return part(R"({"typ":"at+jwt","alg":"HS256"})") + '.' +
         part(json_object({{"scope", json_quote(scope)},
                           {"sub", json_quote(did)},
                           {"aud", json_quote("did:web:localhost")},
                           {"iss", json_quote(origin_)},
                           {"iat", seconds_of(clock_.now())},
                           {"exp", seconds_of(expires)}})) +
         '.' + random_token(random_, 32);
}

std::optional<Result<Grant>> AppSessions::find_access(std::string_view token) const {
  const auto found = access_tokens_.find(std::string(token));
  if (found == access_tokens_.end()) return std::nullopt;
  const Session& session = sessions_.at(found->second.session);
  if (!session.alive) return over("ended", "Token has been revoked");
  if (clock_.now() >= found->second.expires) return over("expired", "Token has expired");
  return Grant{
      .did = session.did, .client_id = {}, .scope = "atproto transition:generic", .jkt = {}};
}

}  // namespace latchkey::sandbox
