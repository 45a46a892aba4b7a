// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.sandbox.repo;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.sandbox.cid;
import latchkey.sandbox.message;
import latchkey.sandbox.storage;

namespace latchkey::sandbox {
namespace {

constexpr std::string_view kRecord = "record", kHead = "head";
constexpr std::string_view kScheme = "at://";

std::string uri_of(const std::string& did, const std::string& collection, const std::string& rkey) {
  return std::string(kScheme) + did + '/' + collection + '/' + rkey;
}

Error invalid_swap(std::string_view detail, std::string description) {
  return refusal("InvalidSwap", detail, std::move(description));
}

Result<void> check_type(const RecordWrite& write) {
  const auto object = JsonObject::parse(write.value, ErrorCode::invalid_argument, "record");
  if (!object) return refusal("InvalidRequest", object.error().detail, "the record is malformed");
  const auto type = object->string("$type");
  if (!type || (*type && **type != write.collection)) {
    return refusal("InvalidRequest", "record.type_mismatch", "$type is not the collection");
  }
  return {};
}

Result<StoredRecord> make_record(const RecordWrite& write) {
  if (auto typed = check_type(write); !typed) return std::move(typed).error();
  auto cid = record_cid(write.value);
  if (!cid) return std::move(cid).error();
  return StoredRecord{.uri = uri_of(write.did, write.collection, write.rkey),
                      .cid = *std::move(cid),
                      .value = write.value};
}

}  // namespace

void Repositories::keep(const StoredRecord& record) {
  if (storage_ == nullptr) return;
  storage_->put(
      kRecord, record.uri,
      json_object({{"cid", json_quote(record.cid)}, {"value", json_quote(record.value)}}));
}

void Repositories::forget(const std::string& uri) {
  if (storage_ != nullptr) storage_->remove(kRecord, uri);
}

Result<void> Repositories::restore_record(const KeptRow& row) {
  const auto json = JsonObject::parse(row.value, ErrorCode::corrupt, "repository");
  if (!json) return json.error();
  auto cid = json->required_string("cid");
  if (!cid) return std::move(cid).error();
  auto value = json->required_string("value");
  if (!value) return std::move(value).error();
  const auto last = row.key.rfind('/'), middle = row.key.rfind('/', last - 1);
  if (!row.key.starts_with(kScheme) || middle <= kScheme.size() || middle == std::string::npos) {
    return make_error(ErrorCode::corrupt, "repository.uri",
                      "cannot read the sandbox's records: a name is malformed; use another file");
  }
  const std::string did = row.key.substr(kScheme.size(), middle - kScheme.size());
  const std::string collection = row.key.substr(middle + 1, last - middle - 1);
  repositories_[did].collections[collection][row.key.substr(last + 1)] = {
      .uri = row.key, .cid = *std::move(cid), .value = *std::move(value)};
  return {};
}

Result<void> Repositories::restore(Storage& storage) {
  const auto records = storage.all(kRecord);
  if (!records) return records.error();
  for (const auto& row : *records) {
    if (auto restored = restore_record(row); !restored) return restored;
  }
  const auto heads = storage.all(kHead);
  if (!heads) return heads.error();
  for (const auto& row : *heads) {
    const auto json = JsonObject::parse(row.value, ErrorCode::corrupt, "repository");
    if (!json) return json.error();
    auto cid = json->required_string("cid");
    if (!cid) return std::move(cid).error();
    auto rev = json->required_string("rev");
    if (!rev) return std::move(rev).error();
    repositories_[row.key].head = {.cid = *std::move(cid), .rev = *std::move(rev)};
  }
  storage_ = &storage;
  return {};
}

// A commit is named by what it follows and a random number: nobody can check more of it here.
Commit Repositories::commit(const std::string& did) {
  Repository& repository = repositories_[did];
  const std::string rev = tids_.next();
  const auto cid = record_cid(json_object({{"prev", json_quote(repository.head.cid)},
                                           {"rev", json_quote(rev)},
                                           {"salt", json_quote(random_token(random_, 16))}}));
  repository.head = {.cid = cid ? *cid : std::string(), .rev = rev};
  if (storage_ != nullptr) {
    storage_->put(
        kHead, did,
        json_object({{"cid", json_quote(repository.head.cid)}, {"rev", json_quote(rev)}}));
  }
  return repository.head;
}

Result<void> Repositories::check_head(const std::string& did, const std::string& swap_commit) {
  const Repository& repository = repositories_[did];
  if (swap_commit.empty() || swap_commit == repository.head.cid) return {};
  return invalid_swap("repo.swap_commit", "Commit was at " + repository.head.cid);
}

Result<void> Repositories::check_swaps(const RecordWrite& write) {
  if (auto fits = check_head(write.did, write.swap_commit); !fits) return fits;
  if (!write.swap_record) return {};
  const auto now = get(write.did, write.collection, write.rkey);
  if ((now ? now->cid : std::string()) != *write.swap_record) {
    return invalid_swap("repo.swap_record",
                        "Record was at " + (now ? now->cid : std::string("null")));
  }
  return {};
}

Result<Repositories::Written> Repositories::store(RecordWrite write) {
  auto record = make_record(write);
  if (!record) return std::move(record).error();
  if (auto fits = check_swaps(write); !fits) return std::move(fits).error();
  repositories_[write.did].collections[write.collection][write.rkey] = *record;
  keep(*record);
  return Written{.record = *std::move(record), .commit = commit(write.did)};
}

Result<Repositories::Written> Repositories::create(RecordWrite write) {
  if (write.rkey.empty()) write.rkey = tids_.next();
  if (get(write.did, write.collection, write.rkey)) {
    return refusal("InvalidRequest", "repo.exists", "Record already exists");
  }
  return store(std::move(write));
}

Result<Repositories::Written> Repositories::put(RecordWrite write) {
  return store(std::move(write));
}

Result<std::optional<Commit>> Repositories::remove(const RecordWrite& write) {
  if (auto fits = check_swaps(write); !fits) return std::move(fits).error();
  Repository& repository = repositories_[write.did];
  const auto collection = repository.collections.find(write.collection);
  if (collection == repository.collections.end()) return std::nullopt;
  if (collection->second.erase(write.rkey) == 0) return std::nullopt;
  if (collection->second.empty()) repository.collections.erase(collection);
  forget(uri_of(write.did, write.collection, write.rkey));
  return std::optional(commit(write.did));
}

Result<StoredRecord> Repositories::apply_one(Repository& draft, const BatchWrite& one) {
  RecordWrite write = one.write;
  if (write.rkey.empty()) write.rkey = tids_.next();
  auto& records = draft.collections[write.collection];
  const bool exists = records.contains(write.rkey);
  if (exists && one.action == RepoAction::create) {
    return refusal("InvalidRequest", "repo.exists", "Record already exists");
  }
  if (!exists && one.action != RepoAction::create) {
    return refusal("InvalidRequest", "repo.missing", "Could not find record");
  }
  if (one.action == RepoAction::remove) {
    records.erase(write.rkey);
    if (records.empty()) draft.collections.erase(write.collection);
    return StoredRecord{
        .uri = uri_of(write.did, write.collection, write.rkey), .cid = {}, .value = {}};
  }
  auto record = make_record(write);
  if (record) records[write.rkey] = *record;
  return record;
}

Result<Repositories::Applied> Repositories::apply(const std::string& did,
                                                  const std::vector<BatchWrite>& writes,
                                                  const std::string& swap_commit) {
  if (auto fits = check_head(did, swap_commit); !fits) return std::move(fits).error();
  Repository draft = repositories_[did];
  Applied applied;
  for (const auto& one : writes) {
    auto record = apply_one(draft, one);
    if (!record) return std::move(record).error();
    applied.records.push_back(*std::move(record));
  }
  repositories_[did] = std::move(draft);
  for (const auto& record : applied.records) {
    if (record.cid.empty()) {
      forget(record.uri);
    } else {
      keep(record);
    }
  }
  applied.commit = commit(did);
  return applied;
}

std::optional<StoredRecord> Repositories::get(const std::string& did, const std::string& collection,
                                              const std::string& rkey) const {
  const auto repository = repositories_.find(did);
  if (repository == repositories_.end()) return std::nullopt;
  const auto records = repository->second.collections.find(collection);
  if (records == repository->second.collections.end()) return std::nullopt;
  const auto record = records->second.find(rkey);
  if (record == records->second.end()) return std::nullopt;
  return record->second;
}

RecordPage Repositories::list(const std::string& did, const std::string& collection,
                              std::size_t limit, const std::string& cursor, bool reverse) const {
  RecordPage page;
  const auto repository = repositories_.find(did);
  if (repository == repositories_.end()) return page;
  const auto found = repository->second.collections.find(collection);
  if (found == repository->second.collections.end()) return page;
  const auto fill = [&](auto begin, auto end, const auto& follows) {
    for (auto entry = begin; entry != end; ++entry) {
      if (!cursor.empty() && !follows(entry->first)) continue;
      if (page.records.size() == limit) {
        const std::string& last = page.records.back().uri;
        page.cursor = last.substr(last.rfind('/') + 1);
        return;
      }
      page.records.push_back(entry->second);
    }
  };
  const Collection& records = found->second;
  if (reverse) {
    fill(records.begin(), records.end(), [&](const std::string& key) { return key > cursor; });
  } else {
    fill(records.rbegin(), records.rend(), [&](const std::string& key) { return key < cursor; });
  }
  return page;
}

std::vector<std::string> Repositories::collections(const std::string& did) const {
  std::vector<std::string> names;
  const auto repository = repositories_.find(did);
  if (repository == repositories_.end()) return names;
  for (const auto& [name, records] : repository->second.collections) names.push_back(name);
  return names;
}

}  // namespace latchkey::sandbox
