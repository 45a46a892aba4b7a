// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.sandbox.message;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.http;

// Requests and answers as the sandbox's servers see them, and the JSON they speak. What is issued
// in a sandbox opens nothing else: its tokens and passwords are plain text here.

export namespace latchkey::sandbox {

enum class Server { plc, authorization, pds };
[[nodiscard]] std::string_view to_string(Server server) noexcept;

struct Request {
  std::string method;
  std::string path;   ///< without the query, as sent
  std::string query;  ///< without "?"
  Headers headers;
  std::string body;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers{};
  std::string detail{};  ///< why it was refused, for the sandbox's records; not sent
};

/// Names and values that are JSON already.
using JsonMembers = std::vector<std::pair<std::string_view, std::string>>;
[[nodiscard]] std::string json_object(const JsonMembers& members);
[[nodiscard]] std::string json_strings(const std::vector<std::string>& texts);

[[nodiscard]] Response json_answer(int status, std::string body);
/// A refusal with the name that the protocol has for it (RFC 6749 §5.2, or XRPC's), to be answered
/// with `status`. `detail` is for the sandbox's records.
[[nodiscard]] Error refusal(std::string_view name, std::string_view detail, std::string description,
                            int status = 400);
/// {"error","error_description"}.
[[nodiscard]] Response oauth_answer(const Error& error);
/// {"error","message"}.
[[nodiscard]] Response xrpc_answer(const Error& error);

/// The content type without its parameters, in lower case; empty unless there is exactly one.
[[nodiscard]] std::string content_type_of(const Request& request);
/// The fields of a form POST. Errors: invalid_request, "form.content_type",
/// "form.malformed", "form.duplicate".
[[nodiscard]] Result<FormFields> read_form(const Request& request);
/// The value of a field that is there and not empty.
[[nodiscard]] std::optional<std::string> field(const FormFields& fields, std::string_view name);
/// Error: invalid_request, "<step>.<name>_missing".
[[nodiscard]] Result<std::string> required_field(const FormFields& fields, std::string_view step,
                                                 std::string_view name);

/// Are they the same, whatever the case of their ASCII letters?
[[nodiscard]] bool same_word(std::string_view a, std::string_view b);

}  // namespace latchkey::sandbox
