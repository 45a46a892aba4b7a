// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <vector>
export module latchkey.atproto.record;
import latchkey.core.error;
import latchkey.core.json;

// Records of a repository as they go to a PDS and come from it: JSON text that is kept as it is.

export namespace latchkey {

struct RecordRef {
  std::string uri;
  std::string cid;  ///< empty after a delete, and if a write had to be looked up and the server
                    ///< left it out
};

struct Record {
  std::string uri;
  std::string cid;    ///< may be empty: servers may leave it out
  std::string value;  ///< JSON text
};

struct RecordPage {
  std::vector<Record> records;
  std::string cursor;  ///< empty: no more
};

/// The record as text with "$type" in it: added if it has none, otherwise not touched. Errors:
/// invalid_argument, "record.too_large" (over 1 MiB), "record.not_json", "record.type_mismatch",
/// "record.wrong_type", "record.duplicate_member".
[[nodiscard]] Result<std::string> typed_record(std::string_view collection,
                                               std::string_view record);
/// Whether two JSON texts say the same, whatever the order of members and the white space: a
/// repository keeps neither.
[[nodiscard]] bool is_same_value(std::string_view a, std::string_view b);
/// NSID and record key by their grammars. Errors: invalid_argument, "nsid.malformed",
/// "rkey.malformed".
[[nodiscard]] Result<void> check_record_name(std::string_view collection, std::string_view rkey);

/// Reads {"uri", "cid"}. Error: invalid_response, "xrpc.…".
[[nodiscard]] Result<RecordRef> read_record_ref(const JsonObject& object);
/// Reads {"uri", "cid"?, "value"}. Error: invalid_response, "xrpc.…".
[[nodiscard]] Result<Record> read_record(const JsonObject& object);
/// Reads {"records", "cursor"?}. Error: invalid_response, "xrpc.…".
[[nodiscard]] Result<RecordPage> read_record_page(const JsonObject& object);

/// A member of a JSON body that is put together as text, so that a record goes out exactly as it
/// came in.
[[nodiscard]] std::string json_member(std::string_view name, std::string_view json);

}  // namespace latchkey
