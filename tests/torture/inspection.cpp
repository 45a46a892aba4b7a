// SPDX-License-Identifier: MIT
module;
#include <sqlite3.h>
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>
module latchkey.test.torture_inspection;
import latchkey.atproto.client;
import latchkey.atproto.pds;
import latchkey.core;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.store.file_names;
import latchkey.store.vault;
import latchkey.test.torture_nurse;
import latchkey.test.torture_observer;
import latchkey.test.torture_place;

namespace latchkey::test {
namespace {

using namespace std::chrono_literals;

constexpr int kTries = 4;
constexpr std::string_view kPendingLock = "\npending";  // FileStore's name for pending logins

class Inspector {
 public:
  Inspector(const Place& place, const AtprotoClient& client, const Scene& scene, Nurse& nurse,
            Observer& observer)
      : place_(place), client_(client), scene_(scene), nurse_(nurse), observer_(observer) {}

  Findings run() {
    list_all();
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < scene_.subjects.size(); ++i)
      threads.emplace_back([this, i] { look_at(i); });
    threads.clear();
    return std::move(findings_);
  }

 private:
  using Column = std::vector<std::string> Findings::*;
  void note(Column column, std::string text) {
    const std::scoped_lock lock(mutex_);
    (findings_.*column).push_back(std::move(text));
  }

  void list_all() {
    std::set<std::string> listed;
    std::string cursor;
    do {
      auto page = place_.store->list(cursor, 100);
      if (!page) return note(&Findings::corrupt, page.error().message);
      for (const ListedSession& row : page->sessions) {
        if (row.error) note(&Findings::corrupt, row.error->message);
        listed.insert(row.name);
      }
      cursor = page->next;
    } while (!cursor.empty());
    for (const std::string& subject : scene_.subjects) {
      if (!listed.contains(subject)) note(&Findings::corrupt, subject + " is not listed");
    }
  }

  void look_at(std::size_t i) {
    const std::string& subject = scene_.subjects[i];
    {
      const auto lease =
          place_.store->lease(subject, {.deadline = std::chrono::steady_clock::now()});
      if (!lease) note(&Findings::stuck, lease.error().message);
    }
    const auto stored = place_.store->load(subject);
    if (!stored) return note(&Findings::corrupt, stored.error().message);
    if (!stored->has_value()) return nurse_.enter_loss(subject + " is gone from the store");
    const OAuthSession& session = **stored;
    if (session.state != SessionState::active) {
      nurse_.enter_death(session);
      return;
    }
    look_at_claim(i, session);
    look_at_key(session);
    use(session);
  }

  void look_at_claim(std::size_t i, const OAuthSession& session) {
    const auto claim = place_.store->load_claim(session.subject);
    if (!claim) return note(&Findings::corrupt, claim.error().message);
    if (!claim->has_value() || (*claim)->revision != session.revision) return;
    {
      const std::scoped_lock lock(mutex_);
      ++findings_.claims;
    }
    if (!observer_.explains_claim(i, session.dpop_jkt))
      note(&Findings::claimed, session.handle + " has a claim, and no refresh of it was cut off");
  }

  void look_at_key(const OAuthSession& session) {
    const auto key = place_.vault->get(session.dpop_jkt);
    if (!key) return note(&Findings::keys, key.error().message);
    if (!key->has_value()) note(&Findings::keys, "the key of " + session.handle + " is gone");
  }

  // The refresh may find a claim whose request was spent, and end as everywhere.
  void use(const OAuthSession& session) {
    const FreshOptions forced{.rejected = token_fingerprint(session.access_token)};
    std::optional<Error> failure;
    for (int attempt = 0; attempt < kTries; ++attempt) {
      const auto renewed = client_.fresh(session.subject, forced);
      if (renewed) {
        const auto answer = client_.pds(session.subject).query("com.atproto.server.getSession");
        if (!answer) return nurse_.enter_loss(session.handle + ": " + answer.error().message);
        return look_at_renewed(**renewed);
      }
      failure = renewed.error();
      const auto stored = place_.store->load(session.subject);
      if (stored && stored->has_value() && (*stored)->state != SessionState::active) {
        nurse_.enter_death(**stored);
        return;
      }
      std::this_thread::sleep_for(failure->retry_after.value_or(1s));
    }
    nurse_.enter_loss(session.handle + ": " + failure->message);
  }

  void look_at_renewed(const OAuthSession& renewed) {
    const auto claim = place_.store->load_claim(renewed.subject);
    if (claim && claim->has_value() && (*claim)->revision == renewed.revision)
      note(&Findings::claimed, renewed.handle + " has a claim after a refresh that went well");
    const std::scoped_lock lock(mutex_);
    ++findings_.usable;
  }

  const Place& place_;
  const AtprotoClient& client_;
  const Scene& scene_;
  Nurse& nurse_;
  Observer& observer_;
  std::mutex mutex_;
  Findings findings_;
};

// Names that the next writer takes over. What a vault leaves it removes itself.
bool is_collectable(const std::filesystem::path& file, const Scene& scene) {
  const std::string folder = file.parent_path().filename();
  if (folder == "nonces" || folder == "sessions.db.nonces" || folder == "vault") return true;
  std::vector<std::string> subjects = scene.subjects;
  subjects.emplace_back(kPendingLock);
  return std::any_of(subjects.begin(), subjects.end(), [&](const std::string& subject) {
    return file.filename() == staging_name(subject, StagingPlace::room) ||
           file.filename() == staging_name(subject, StagingPlace::write);
  });
}

// SQLite's own judgement; empty: fine.
std::string check_database(const std::filesystem::path& file) {
  sqlite3* database = nullptr;
  sqlite3_stmt* check = nullptr;
  std::string verdict = "cannot be checked";
  if (sqlite3_open_v2(file.c_str(), &database, SQLITE_OPEN_READWRITE, nullptr) == SQLITE_OK &&
      sqlite3_prepare_v2(database, "PRAGMA integrity_check", -1, &check, nullptr) == SQLITE_OK &&
      sqlite3_step(check) == SQLITE_ROW) {
    verdict = reinterpret_cast<const char*>(sqlite3_column_text(check, 0));
  }
  sqlite3_finalize(check);
  sqlite3_close(database);
  return verdict == "ok" ? std::string() : verdict;
}

}  // namespace

Findings inspect(const Nurse::Open& reopen, const Scene& scene, Nurse& nurse, Observer& observer) {
  Findings findings;
  const auto place = reopen();
  if (!place) {
    findings.corrupt.push_back(place.error().message);
    return findings;
  }
  const auto client = open_client(*place, scene, nullptr);
  if (!client) {
    findings.corrupt.push_back(client.error().message);
    return findings;
  }
  return Inspector(*place, *client, scene, nurse, observer).run();
}

void inspect_files(const std::filesystem::path& folder, std::string_view store, const Scene& scene,
                   Findings& findings) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kTemporaryPrefix)) continue;
    if (is_collectable(entry.path(), scene)) {
      ++findings.collectable;
    } else {
      findings.litter.push_back(entry.path().string());
    }
  }
  if (store != "sqlite") return;
  if (auto problem = check_database(folder / "data" / "sessions.db"); !problem.empty())
    findings.corrupt.push_back("sessions.db: " + problem);
}

}  // namespace latchkey::test
