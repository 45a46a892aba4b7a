// SPDX-License-Identifier: MIT
module;
#include <charconv>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
module latchkey.sandbox.tokens;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.time;
import latchkey.sandbox.message;
import latchkey.sandbox.storage;

// The ledger in a file: a row a session, and one for each token that it ever had.

namespace latchkey::sandbox {
namespace {

constexpr std::string_view kSession = "session", kAccess = "access_token",
                           kRefresh = "refresh_token";

Error corrupt() {
  return make_error(ErrorCode::corrupt, "session.number",
                    "cannot read the sandbox's sessions: a number is malformed; use another file");
}

Result<SessionId> read_id(std::string_view text) {
  SessionId id = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (fault != std::errc{} || end != text.data() + text.size()) return corrupt();
  return id;
}

}  // namespace

std::string TokenLedger::session_json(const Session& session) {
  return json_object({{"did", json_quote(session.grant.did)},
                      {"client_id", json_quote(session.grant.client_id)},
                      {"scope", json_quote(session.grant.scope)},
                      {"jkt", json_quote(session.grant.jkt)},
                      {"client_key", json_quote(session.grant.client_key)},
                      {"nonce", json_quote(session.grant.nonce)},
                      {"auth_time", kept_time(session.grant.auth_time)},
                      {"refreshable", session.grant.refreshable ? "true" : "false"},
                      {"refresh_hash", json_quote(session.refresh_hash)},
                      {"access_hash", json_quote(session.access_hash)},
                      {"started", kept_time(session.started)},
                      {"refreshed", kept_time(session.refreshed)},
                      {"access_expires", kept_time(session.access_expires)},
                      {"alive", session.alive ? "true" : "false"}});
}

Result<TokenLedger::Session> TokenLedger::read_session(const KeptRow& row) {
  const auto json = JsonObject::parse(row.value, ErrorCode::corrupt, "session");
  if (!json) return json.error();
  Session session;
  const auto id = read_id(row.key);
  if (!id) return id.error();
  session.id = *id;
  for (const auto& [name, into] :
       {std::pair{"did", &session.grant.did}, std::pair{"client_id", &session.grant.client_id},
        std::pair{"scope", &session.grant.scope}, std::pair{"jkt", &session.grant.jkt},
        std::pair{"client_key", &session.grant.client_key},
        std::pair{"nonce", &session.grant.nonce}, std::pair{"refresh_hash", &session.refresh_hash},
        std::pair{"access_hash", &session.access_hash}}) {
    auto text = json->string(name);
    if (!text) return std::move(text).error();
    if (!*text) return json->missing(name);  // no key would be another rule: Bearer, no client key
    *into = **std::move(text);
  }
  for (const auto& [name, into] :
       {std::pair{"auth_time", &session.grant.auth_time}, std::pair{"started", &session.started},
        std::pair{"refreshed", &session.refreshed},
        std::pair{"access_expires", &session.access_expires}}) {
    const auto time = read_kept_time(*json, name);
    if (!time) return time.error();
    if (!*time) return json->missing(name);
    *into = **time;
  }
  for (const auto& [name, into] :
       {std::pair{"refreshable", &session.grant.refreshable}, std::pair{"alive", &session.alive}}) {
    const auto said = json->boolean(name);
    if (!said) return said.error();
    if (!*said) return json->missing(name);
    *into = **said;
  }
  return session;
}

void TokenLedger::keep(const Session& session) {
  if (storage_ == nullptr) return;
  storage_->put(kSession, std::to_string(session.id), session_json(session));
}

void TokenLedger::keep_tokens(const Session& session) {
  if (storage_ == nullptr) return;
  storage_->put(kAccess, session.access_hash, std::to_string(session.id));
  if (!session.grant.refreshable) return;
  storage_->put(kRefresh, session.refresh_hash, std::to_string(session.id));
}

Result<void> TokenLedger::restore(Storage& storage) {
  const auto sessions = storage.all(kSession);
  if (!sessions) return sessions.error();
  for (const auto& row : *sessions) {
    auto session = read_session(row);
    if (!session) return std::move(session).error();
    const SessionId id = session->id;
    if (id >= next_) next_ = id + 1;
    sessions_.insert_or_assign(id, *std::move(session));
  }
  for (const auto& [kind, table] :
       {std::pair{kAccess, &access_tokens_}, std::pair{kRefresh, &refresh_tokens_}}) {
    const auto rows = storage.all(kind);
    if (!rows) return rows.error();
    for (const auto& row : *rows) {
      const auto id = read_id(row.value);
      if (!id) return id.error();
      if (!sessions_.contains(*id)) return corrupt();
      table->emplace(row.key, *id);
    }
  }
  storage_ = &storage;
  return {};
}

}  // namespace latchkey::sandbox
