// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.sandbox.blobs;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.sandbox.cid;
import latchkey.sandbox.message;
import latchkey.sandbox.storage;

namespace latchkey::sandbox {
namespace {

constexpr std::string_view kKind = "blob";

void collect(const nlohmann::json& value, std::vector<std::string>& cids) {
  if (!value.is_structured()) return;
  if (value.is_object() && value.value("$type", nlohmann::json()) == "blob" &&
      value.contains("ref") && value["ref"].is_object()) {
    const auto link = value["ref"].value("$link", nlohmann::json());
    if (link.is_string()) cids.push_back(link.get<std::string>());
  }
  for (const auto& inner : value) collect(inner, cids);
}

}  // namespace

// A row is "DID CID", and the type, a line break, and the bytes.
Result<void> Blobs::restore(Storage& storage) {
  const auto rows = storage.all(kKind);
  if (!rows) return rows.error();
  for (const auto& row : *rows) {
    const auto space = row.key.find(' '), line = row.value.find('\n');
    if (space == std::string::npos || line == std::string::npos) {
      return make_error(ErrorCode::corrupt, "blob.row",
                        "cannot read the sandbox's blobs: one is malformed; use another file");
    }
    blobs_[{row.key.substr(0, space), row.key.substr(space + 1)}] = {
        .mime_type = row.value.substr(0, line), .bytes = row.value.substr(line + 1)};
  }
  storage_ = &storage;
  return {};
}

std::string Blobs::add(const std::string& did, Blob blob) {
  std::string cid = blob_cid(blob.bytes);
  if (storage_ != nullptr) {
    storage_->put(kKind, did + ' ' + cid, blob.mime_type + '\n' + blob.bytes);
  }
  blobs_[{did, cid}] = std::move(blob);
  return cid;
}

const Blob* Blobs::find(const std::string& did, const std::string& cid) const {
  const auto found = blobs_.find({did, cid});
  return found == blobs_.end() ? nullptr : &found->second;
}

BlobPage Blobs::list(const std::string& did, std::size_t limit, const std::string& cursor) const {
  BlobPage page;
  for (auto entry = blobs_.upper_bound({did, cursor}); entry != blobs_.end(); ++entry) {
    if (entry->first.first != did) break;
    if (page.cids.size() == limit) {
      page.cursor = page.cids.back();
      break;
    }
    page.cids.push_back(entry->first.second);
  }
  return page;
}

std::string blob_json(const std::string& cid, const Blob& blob) {
  return json_object({{"$type", "\"blob\""},
                      {"ref", json_object({{"$link", json_quote(cid)}})},
                      {"mimeType", json_quote(blob.mime_type)},
                      {"size", std::to_string(blob.bytes.size())}});
}

std::vector<std::string> blobs_in(std::string_view record) {
  std::vector<std::string> cids;
  const auto parsed = nlohmann::json::parse(record, nullptr, false);
  if (!parsed.is_discarded()) collect(parsed, cids);
  return cids;
}

}  // namespace latchkey::sandbox
