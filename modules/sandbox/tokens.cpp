// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
module latchkey.sandbox.tokens;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.sandbox.message;

namespace latchkey::sandbox {
namespace {

Error invalid_grant(std::string_view detail, std::string description) {
  return refusal("invalid_grant", detail, std::move(description));
}

template <class Table>
auto find(Table& table, std::string_view token) {
  return table.find(sha256_base64url(token));
}

}  // namespace

IssuedTokens TokenLedger::issue(Session& session) {
  IssuedTokens tokens{.access_token = "sat-" + random_token(random_, 32),
                      .refresh_token = {},
                      .grant = session.grant,
                      .expires_in = lifetimes_.access};
  session.access_hash = sha256_base64url(tokens.access_token);
  session.refreshed = clock_.now();
  session.access_expires = session.refreshed + lifetimes_.access;
  access_tokens_.emplace(session.access_hash, session.id);
  if (session.grant.refreshable) {
    tokens.refresh_token = "srt-" + random_token(random_, 32);
    session.refresh_hash = sha256_base64url(tokens.refresh_token);
    refresh_tokens_.emplace(session.refresh_hash, session.id);
  }
  keep(session);
  keep_tokens(session);
  return tokens;
}

void TokenLedger::close(Session& session) {
  session.alive = false;
  keep(session);
}

void TokenLedger::kill(Session& session) {
  if (session.alive) ++counts_.ended;
  close(session);
}

TokenLedger::Login TokenLedger::begin(Grant grant) {
  const SessionId id = next_++;
  Session& session = sessions_[id];
  session.id = id;
  session.grant = std::move(grant);
  session.started = clock_.now();
  ++counts_.logins;
  return {.session = id, .tokens = issue(session)};
}

Result<IssuedTokens> TokenLedger::refresh(std::string_view token, const Presenter& presenter) {
  const auto found = find(refresh_tokens_, token);
  if (found == refresh_tokens_.end()) {
    return invalid_grant("refresh.unknown", "unknown refresh token");
  }
  Session& session = sessions_.at(found->second);
  if (found->first != session.refresh_hash) {
    ++counts_.replays;
    kill(session);
    return invalid_grant("refresh.replayed", "refresh token replayed");
  }
  if (!session.alive) return invalid_grant("refresh.ended", "session has ended");
  if (session.grant.client_id != presenter.client_id) {
    kill(session);
    return invalid_grant("refresh.wrong_client", "refresh token of another client");
  }
  if (session.grant.client_key != presenter.client_key) {
    return invalid_grant("refresh.wrong_client_key", "the session is of another key of the client");
  }
  if (session.grant.jkt != presenter.jkt) {
    kill(session);
    return invalid_grant("refresh.wrong_key", "DPoP key is not the session's");
  }
  const TimePoint now = clock_.now();
  if (now >= session.refreshed + lifetimes_.refresh ||
      now >= session.started + lifetimes_.session) {
    close(session);
    return invalid_grant("refresh.expired", "session expired");
  }
  ++counts_.refreshes;
  return issue(session);
}

Result<void> TokenLedger::revoke(std::string_view token, const Presenter& presenter) {
  auto found = find(refresh_tokens_, token);
  if (found == refresh_tokens_.end()) {
    found = find(access_tokens_, token);
    if (found == access_tokens_.end()) return {};
  }
  Session& session = sessions_.at(found->second);
  if (session.grant.client_id != presenter.client_id) {
    return invalid_grant("revoke.wrong_client", "token of another client");
  }
  if (!presenter.jkt.empty() && session.grant.jkt != presenter.jkt) {
    return invalid_grant("revoke.wrong_key", "DPoP key is not the session's");
  }
  if (session.alive) ++counts_.revoked;
  close(session);
  return {};
}

std::optional<TokenLedger::Access> TokenLedger::find_access(std::string_view token) const {
  const auto found = find(access_tokens_, token);
  if (found == access_tokens_.end()) return std::nullopt;
  const Session& session = sessions_.at(found->second);
  Access access{.grant = session.grant, .problem = {}};
  if (!session.alive) {
    access.problem = "access.ended";
  } else if (found->first != session.access_hash) {
    access.problem = "access.replaced";
  } else if (clock_.now() >= session.access_expires) {
    access.problem = "access.expired";
  }
  return access;
}

void TokenLedger::end(SessionId id) {
  if (const auto found = sessions_.find(id); found != sessions_.end()) kill(found->second);
}

unsigned TokenLedger::end_all(std::string_view did) {
  unsigned count = 0;
  for (auto& [id, session] : sessions_) {
    if (session.grant.did != did || !session.alive) continue;
    kill(session);
    ++count;
  }
  return count;
}

void TokenLedger::expire_access() {
  for (auto& [id, session] : sessions_) {
    session.access_expires = std::min(session.access_expires, clock_.now());
    keep(session);
  }
}

unsigned TokenLedger::alive(std::string_view did) const {
  return static_cast<unsigned>(std::count_if(
      sessions_.begin(), sessions_.end(),
      [&](const auto& entry) { return entry.second.alive && entry.second.grant.did == did; }));
}

}  // namespace latchkey::sandbox
