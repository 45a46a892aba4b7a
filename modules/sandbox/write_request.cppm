// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <vector>
export module latchkey.sandbox.write_request;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.sandbox.message;
import latchkey.sandbox.permissions;
import latchkey.sandbox.repo;

// Reads the bodies of com.atproto.repo.createRecord, putRecord, deleteRecord and applyWrites.

export namespace latchkey::sandbox {

/// InvalidRequest, as of refusal().
[[nodiscard]] Error invalid_input(std::string_view detail, std::string description);

/// The body of a procedure. Errors, as of refusal(): InvalidRequest, "xrpc.content_type", "input.…"
/// (no JSON).
[[nodiscard]] Result<JsonObject> read_json_body(const Request& request);

/// What a request wants to write, in the repository that it names.
struct WriteRequest {
  RecordWrite write;
  std::string repo;
};
struct BatchRequest {
  std::vector<BatchWrite> writes;
  std::string repo;
  std::string swap_commit;
};

/// A record must be there unless `action` is remove. Errors, as of refusal(): InvalidRequest,
/// "xrpc.content_type", "xrpc.input", "xrpc.collection", "xrpc.rkey", "input.…" (no JSON).
[[nodiscard]] Result<WriteRequest> read_write(const Request& request, RepoAction action);
/// Errors: the same, and "xrpc.writes": more than 200, or of no known kind.
[[nodiscard]] Result<BatchRequest> read_batch(const Request& request);

}  // namespace latchkey::sandbox
