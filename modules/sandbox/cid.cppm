// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
export module latchkey.sandbox.cid;
import latchkey.core.error;

// Content identifiers of records, as real repositories have them: CIDv1 of the record in DAG-CBOR.

export namespace latchkey::sandbox {

/// `json`: an object in the data model of AT Protocol. Error: InvalidRequest, as of refusal(),
/// "record.not_json" or "record.data_model" (a number that is no integer, a malformed $link or
/// $bytes).
[[nodiscard]] Result<std::string> record_cid(std::string_view json);

/// Of bytes as they are (CIDv1, raw).
[[nodiscard]] std::string blob_cid(std::string_view bytes);

}  // namespace latchkey::sandbox
