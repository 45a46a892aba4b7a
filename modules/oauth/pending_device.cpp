// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.oauth.pending_device;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.session;

namespace latchkey {
namespace {

constexpr std::string_view kFormatFamily = "latchkey.device_login.v";
constexpr std::string_view kFormat = "latchkey.device_login.v1";

// The one list of plain texts: writer and reader walk it, so they cannot differ.
template <class Pending, class Visit>
void for_each_text(Pending& p, Visit&& visit) {
  visit("id", p.id);
  visit("user_code", p.user_code);
  visit("verification_uri", p.verification_uri);
  visit("verification_uri_complete", p.verification_uri_complete);
  visit("issuer", p.issuer);
  visit("token_endpoint", p.token_endpoint);
  visit("client_id", p.client_id);
  visit("client_auth_kid", p.client_auth_kid);
  visit("scope", p.scope);
  visit("subject", p.subject);
  visit("dpop_jkt", p.dpop_jkt);
}

Error malformed() {
  return make_error(
      ErrorCode::corrupt, "pending.malformed",
      "cannot read a device login: its stored form is damaged; start the login again");
}

Result<std::string> read_text(const JsonObject& json, std::string_view name) {
  auto text = json.string(name);
  if (!text) return std::move(text).error();
  if (!*text) return json.missing(name);
  return **std::move(text);
}

Result<void> read_texts(const JsonObject& json, PendingDevice& pending) {
  std::optional<Error> error;
  for_each_text(pending, [&](std::string_view name, std::string& target) {
    if (error) return;
    auto text = read_text(json, name);
    if (text) {
      target = *std::move(text);
    } else {
      error = std::move(text).error();
    }
  });
  if (error) return *std::move(error);
  return {};
}

// Members whose text stands for something else.
Result<void> read_values(JsonObject& json, PendingDevice& pending) {
  auto code = json.take_secret("device_code");
  if (!code) return std::move(code).error();
  if (!*code) return json.missing("device_code");
  auto bytes = base64url_decode_secret((*code)->expose());
  const auto method = read_text(json, "client_auth_method");
  if (!method) return method.error();
  const auto expires_at = read_text(json, "expires_at");
  if (!expires_at) return expires_at.error();
  const auto interval = json.integer("interval");
  if (!interval) return interval.error();
  if (!*interval) return json.missing("interval");
  const auto known = client_auth_method_from(*method);
  const auto time = parse_rfc3339(*expires_at);
  if (!bytes || !known || !time || **interval < 1) return malformed();
  pending.device_code = SecretString(*std::move(bytes));
  pending.client_auth_method = *known;
  pending.expires_at = *time;
  pending.interval = std::chrono::seconds(**interval);
  return {};
}

}  // namespace

SecretBytes serialize_pending_device(const PendingDevice& pending) {
  SecretBuilder out;
  out.append("{\"format\":").append(json_quote(kFormat));
  for_each_text(pending, [&](std::string_view name, const std::string& text) {
    out.append(",\"").append(name).append("\":").append(json_quote(text));
  });
  out.append(",\"client_auth_method\":")
      .append(json_quote(to_string(pending.client_auth_method)))
      .append(",\"interval\":")
      .append(std::to_string(pending.interval.count()))
      .append(",\"expires_at\":")
      .append(json_quote(format_rfc3339(pending.expires_at)))
      .append(",\"device_code\":\"")
      .append(base64url_encode_secret(as_bytes(pending.device_code.expose())).expose())
      .append("\"}");
  const SecretString text = std::move(out).finish();
  return SecretBytes(as_bytes(text.expose()));
}

bool is_pending_device(const SecretBytes& bytes) noexcept {
  return as_text(bytes.expose()).starts_with('{');
}

Result<PendingDevice> parse_pending_device(const SecretBytes& bytes) {
  auto json = JsonObject::parse(as_text(bytes.expose()), ErrorCode::corrupt, "pending");
  if (!json) return std::move(json).error();
  const auto format = json->required_string("format");
  if (!format) return format.error();
  if (*format != kFormat) {
    if (!format->starts_with(kFormatFamily)) return malformed();
    return make_error(ErrorCode::schema_too_new, "pending.version",
                      "cannot read a device login: a newer latchkey wrote it; start it again");
  }
  PendingDevice pending;
  if (auto read = read_texts(*json, pending); !read) return std::move(read).error();
  if (auto read = read_values(*json, pending); !read) return std::move(read).error();
  return pending;
}

}  // namespace latchkey
