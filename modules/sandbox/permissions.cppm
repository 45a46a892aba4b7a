// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <vector>
export module latchkey.sandbox.permissions;
import latchkey.core.error;

// What a granted scope permits: in a repository transition:generic everything, and the granular
// repo:COLLECTION?action=… what it says; which blobs may be uploaded; and who sees the account's
// e-mail address.

export namespace latchkey::sandbox {

enum class RepoAction { create, update, remove };
/// "create", "update" or "delete".
[[nodiscard]] std::string_view to_string(RepoAction action) noexcept;

/// repo:app.bsky.feed.post?action=create, as an error names it.
[[nodiscard]] std::string repo_scope(std::string_view collection, RepoAction action);

[[nodiscard]] bool permits(std::string_view scope, std::string_view collection, RepoAction action);

/// Whether a blob of this type may be uploaded: transition:generic, blob:*/*, blob:image/*,
/// blob:image/png, or blob?accept=… of these.
[[nodiscard]] bool permits_blob(std::string_view scope, std::string_view mime_type);

/// transition:email, or account:email to read or to manage it.
[[nodiscard]] bool permits_email(std::string_view scope);

/// The tokens of `scope` that mean something to an ATProto server; the others are dropped without
/// a word.
[[nodiscard]] std::string known_scope(std::string_view scope);

}  // namespace latchkey::sandbox
