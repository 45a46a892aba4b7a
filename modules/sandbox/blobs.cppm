// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.sandbox.blobs;
import latchkey.core.error;
import latchkey.sandbox.storage;

// Blobs: what was uploaded to an account, under its CID, for records to refer to.

export namespace latchkey::sandbox {

struct Blob {
  std::string mime_type;
  std::string bytes;
};

struct BlobPage {
  std::vector<std::string> cids;
  std::string cursor;  ///< empty: no more
};

/// Not thread-safe.
class Blobs {
 public:
  /// Reads what is kept, and keeps everything from now on. Errors: those of Storage; corrupt,
  /// "blob.row".
  [[nodiscard]] Result<void> restore(Storage& storage);
  /// Gives the CID. The same bytes again change only their type.
  std::string add(const std::string& did, Blob blob);
  /// Null if the account has no such blob.
  [[nodiscard]] const Blob* find(const std::string& did, const std::string& cid) const;
  /// By CID. `cursor`: the last of the page before.
  [[nodiscard]] BlobPage list(const std::string& did, std::size_t limit,
                              const std::string& cursor) const;

 private:
  Storage* storage_ = nullptr;                                 // null: in memory only
  std::map<std::pair<std::string, std::string>, Blob> blobs_;  // by DID and CID
};

/// The blob's entry in a record: {"$type":"blob","ref":{"$link":CID},"mimeType","size"}.
[[nodiscard]] std::string blob_json(const std::string& cid, const Blob& blob);
/// The CIDs of all blobs that a record refers to, at any depth.
[[nodiscard]] std::vector<std::string> blobs_in(std::string_view record);

}  // namespace latchkey::sandbox
