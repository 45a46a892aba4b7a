// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.sandbox.message;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.http;

namespace latchkey::sandbox {
namespace {

// An error that is no refusal is the sandbox's own.
Response answer_of(const Error& error, std::string_view own_fault, std::string_view text_name) {
  const bool refused = error.oauth.has_value();
  Response response = json_answer(
      refused ? error.http_status : 500,
      json_object(
          {{"error", json_quote(refused ? error.oauth->error : own_fault)},
           {text_name, json_quote(refused ? error.oauth->error_description : error.message)}}));
  response.detail = error.detail;
  return response;
}

}  // namespace

std::string_view to_string(Server server) noexcept {
  switch (server) {
    case Server::plc:
      return "plc";
    case Server::authorization:
      return "authorization";
    case Server::pds:
      break;
  }
  return "pds";
}

std::string json_object(const JsonMembers& members) {
  std::string out = "{";
  for (const auto& [name, value] : members) {
    if (out.size() > 1) out += ',';
    out += json_quote(name);
    out += ':';
    out += value;
  }
  return out + '}';
}

std::string json_strings(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const auto& text : texts) {
    if (out.size() > 1) out += ',';
    out += json_quote(text);
  }
  return out + ']';
}

Response json_answer(int status, std::string body) {
  return {.status = status, .body = std::move(body)};
}

Error refusal(std::string_view name, std::string_view detail, std::string description, int status) {
  Error error = make_error(ErrorCode::provider_error, detail, description);
  error.oauth = OAuthErrorBody{std::string(name), std::move(description), {}};
  error.http_status = status;
  return error;
}

Response oauth_answer(const Error& error) {
  return answer_of(error, "server_error", "error_description");
}

Response xrpc_answer(const Error& error) {
  return answer_of(error, "InternalServerError", "message");
}

std::string content_type_of(const Request& request) {
  const auto values = request.headers.all("Content-Type");
  if (values.size() != 1) return {};
  std::string type(values[0].substr(0, values[0].find(';')));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.pop_back();
  for (char& c : type) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return type;
}

Result<FormFields> read_form(const Request& request) {
  if (content_type_of(request) != "application/x-www-form-urlencoded") {
    return refusal("invalid_request", "form.content_type",
                   "the content type must be application/x-www-form-urlencoded");
  }
  auto fields = form_decode(request.body);
  if (!fields) return refusal("invalid_request", "form.malformed", "the form is malformed");
  for (auto one = fields->begin(); one != fields->end(); ++one) {
    if (std::any_of(fields->begin(), one,
                    [&](const auto& other) { return other.first == one->first; })) {
      return refusal("invalid_request", "form.duplicate", "a field occurs twice");
    }
  }
  return fields;
}

std::optional<std::string> field(const FormFields& fields, std::string_view name) {
  const auto found = std::find_if(fields.begin(), fields.end(),
                                  [&](const auto& one) { return one.first == name; });
  if (found == fields.end() || found->second.empty()) return std::nullopt;
  return found->second;
}

Result<std::string> required_field(const FormFields& fields, std::string_view step,
                                   std::string_view name) {
  if (auto value = field(fields, name)) return *std::move(value);
  return refusal("invalid_request", std::string(step) + '.' + std::string(name) + "_missing",
                 std::string(name) + " is missing");
}

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    const auto lower = [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    };
    return lower(x) == lower(y);
  });
}

}  // namespace latchkey::sandbox
