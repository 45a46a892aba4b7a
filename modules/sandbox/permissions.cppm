// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <vector>
export module latchkey.sandbox.permissions;
import latchkey.core.error;

// What a granted scope permits: in a repository transition:generic everything, and the granular
// repo:COLLECTION?action=… what it says; and who sees the account's e-mail address.

export namespace latchkey::sandbox {

enum class RepoAction { create, update, remove };

/// repo:app.bsky.feed.post?action=create, as an error names it.
[[nodiscard]] std::string repo_scope(std::string_view collection, RepoAction action);

[[nodiscard]] bool permits(std::string_view scope, std::string_view collection, RepoAction action);

/// transition:email, or account:email to read or to manage it.
[[nodiscard]] bool permits_email(std::string_view scope);

/// The tokens of `scope` that mean something to an ATProto server; the others are dropped without
/// a word.
[[nodiscard]] std::string known_scope(std::string_view scope);

}  // namespace latchkey::sandbox
