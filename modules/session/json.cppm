// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
export module latchkey.session.json;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.session;

// A session as JSON text: the clear part alone (kept by stores that keep text, shown by lists), or
// the whole with its tokens, for moving a session by hand. This is the only place that writes a
// secret as JSON. Both forms are one flat object of texts and nulls, and both readers are strict:
// every member must be there, once, of its type, and nothing else may be. See docs/formats.md.

export namespace latchkey {

/// The clear part. Text that is not UTF-8 (which seal_session never lets in) is made printable.
[[nodiscard]] std::string summary_to_json(const SessionSummary& summary);

/// A time that does not parse becomes kMalformedTime, so that the session counts as expired.
/// Errors, all corrupt: "record.not_json", "record.unknown_member", "record.duplicate_member",
/// "record.missing_member", "record.wrong_type", "record.bad_value".
[[nodiscard]] Result<SessionSummary> summary_from_json(std::string_view text);

/// The whole session, tokens included. Error: invalid_argument, "session_json.text" (a member is
/// not UTF-8).
[[nodiscard]] Result<SecretString> session_to_json(const OAuthSession& session);

/// Errors: those of summary_from_json as "session_json.…", and schema_too_new,
/// "session_json.version".
[[nodiscard]] Result<OAuthSession> session_from_json(const SecretString& text);

}  // namespace latchkey
