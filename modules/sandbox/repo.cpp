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

namespace latchkey::sandbox {
namespace {

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

}  // namespace

// A commit is named by what it follows and a random number: nobody can check more of it here.
Commit Repositories::commit(Repository& repository) {
  const std::string rev = tids_.next();
  const auto cid = record_cid(json_object({{"prev", json_quote(repository.head.cid)},
                                           {"rev", json_quote(rev)},
                                           {"salt", json_quote(random_token(random_, 16))}}));
  repository.head = {.cid = cid ? *cid : std::string(), .rev = rev};
  return repository.head;
}

Result<void> Repositories::check_swaps(const RecordWrite& write) {
  const Repository& repository = repositories_[write.did];
  if (!write.swap_commit.empty() && write.swap_commit != repository.head.cid) {
    return invalid_swap("repo.swap_commit", "Commit was at " + repository.head.cid);
  }
  if (!write.swap_record) return {};
  const auto now = get(write.did, write.collection, write.rkey);
  if ((now ? now->cid : std::string()) != *write.swap_record) {
    return invalid_swap("repo.swap_record",
                        "Record was at " + (now ? now->cid : std::string("null")));
  }
  return {};
}

Result<Repositories::Written> Repositories::store(RecordWrite write) {
  if (auto typed = check_type(write); !typed) return std::move(typed).error();
  auto cid = record_cid(write.value);
  if (!cid) return std::move(cid).error();
  if (auto fits = check_swaps(write); !fits) return std::move(fits).error();
  Repository& repository = repositories_[write.did];
  StoredRecord& record = repository.collections[write.collection][write.rkey];
  record = {.uri = "at://" + write.did + '/' + write.collection + '/' + write.rkey,
            .cid = *std::move(cid),
            .value = std::move(write.value)};
  return Written{.record = record, .commit = commit(repository)};
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
  return std::optional(commit(repository));
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
