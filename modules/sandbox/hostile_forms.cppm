// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <vector>
export module latchkey.sandbox.hostile_forms;
import latchkey.sandbox.message;

// What a hostile server may say in each answer that a login depends on: a table of named forms,
// each of which breaks one rule. The forms are applied by latchkey.sandbox.hostile.

export namespace latchkey::sandbox {

/// An answer that a login depends on, in the order in which it asks for them.
enum class Document {
  handle_answer,      ///< com.atproto.identity.resolveHandle
  handle_file,        ///< /.well-known/atproto-did
  did_document,       ///< of the PLC directory
  resource_metadata,  ///< RFC 9728, at the PDS
  server_metadata,    ///< RFC 8414, at the authorization server
  par,                ///< the answer to a pushed request
  callback,           ///< the redirect from the sign-in page
  token,              ///< the answer to a code or a refresh token
};
[[nodiscard]] std::string_view to_string(Document document) noexcept;
/// Whether a request for `path` at this server asks for that document.
[[nodiscard]] bool asks_for(Document document, Server server, std::string_view path);

/// How the right answer is changed.
enum class Edit {
  set,           ///< the member (of a callback: the parameter) `member` is `value`
  drop,          ///< there is no `member`
  endpoint,      ///< the PDS in a DID document is at `value`
  repeat,        ///< `member` is there twice
  body,          ///< 200, and the body is `value`
  append,        ///< `value` follows the body
  prefix,        ///< `value` precedes the body
  nest,          ///< one more member, 40 arrays deep
  swell,         ///< the body is 1 MiB long
  status,        ///< the status is `value`
  content_type,  ///< the content type is `value`; none if that is empty
  redirect,      ///< 302 to `value`
};

struct HostileForm {
  std::string name;  ///< "server_metadata.issuer_slash"
  Document document{};
  Edit edit{};
  std::string_view member{};
  /// JSON for `set` and `endpoint`, text otherwise. "{self}" stands for the origin of the server
  /// that answers.
  std::string_view value{};
};

/// All of them, by document.
[[nodiscard]] const std::vector<HostileForm>& hostile_forms();
/// Null if there is none of this name.
[[nodiscard]] const HostileForm* find_hostile_form(std::string_view name);

}  // namespace latchkey::sandbox
