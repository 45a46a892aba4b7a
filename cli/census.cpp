// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>
module latchkey.cli.census;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.refresh.moving;
import latchkey.session;
import latchkey.store;

namespace latchkey::cli {
namespace {

constexpr std::size_t kPage = 500;

void add(Census& census, const SessionSummary& session, TimePoint now) {
  switch (session.state) {
    case SessionState::active:
      ++census.active;
      census.expired += session.is_expired(now);
      census.login_expired += session.refresh_expired(now);
      break;
    case SessionState::dead:
      ++census.dead;
      census.moving += is_being_moved(session);
      break;
    case SessionState::revoking:
      ++census.revoking;
      break;
  }
  census.issuers.add(session.issuer);
  census.clients.add(session.client_id);
}

}  // namespace

void NameCounts::add(const std::string& name) {
  const auto found = counts_.find(name);
  if (found != counts_.end()) {
    ++found->second;
  } else if (counts_.size() < kMaxNames) {
    counts_.emplace(name, 1);
  } else {
    ++others_;
  }
}

std::vector<std::pair<std::string, std::size_t>> NameCounts::top(std::size_t count) const {
  std::vector<std::pair<std::string, std::size_t>> most(counts_.begin(), counts_.end());
  std::sort(most.begin(), most.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  most.resize(std::min(most.size(), count));
  return most;
}

Result<Census> take_census(OAuthTokenStore& store, TimePoint now) {
  Census census;
  for (std::string cursor;;) {
    auto page = store.list(cursor, kPage);
    if (!page) return std::move(page).error();
    for (const ListedSession& row : page->sessions) {
      ++census.sessions;
      if (row.summary) {
        add(census, *row.summary, now);
      } else {
        ++census.unreadable;
      }
    }
    if (page->next.empty()) return census;
    cursor = std::move(page->next);
  }
}

}  // namespace latchkey::cli
