// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>
module latchkey.session.json;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.session;

namespace latchkey {
namespace {

constexpr std::string_view kFormatFamily = "latchkey.session.v";
constexpr std::string_view kFormat = "latchkey.session.v1";

// The one list of members: writer and reader walk it, so they cannot differ.
template <class Summary, class Visit>
void for_each_member(Summary& s, Visit&& visit) {
  visit("subject", s.subject);
  visit("issuer", s.issuer);
  visit("resource_server", s.resource_server);
  visit("token_endpoint", s.token_endpoint);
  visit("revocation_endpoint", s.revocation_endpoint);
  visit("par_endpoint", s.par_endpoint);
  visit("client_id", s.client_id);
  visit("client_auth_method", s.client_auth_method);
  visit("client_auth_kid", s.client_auth_kid);
  visit("redirect_uri", s.redirect_uri);
  visit("scope", s.scope);
  visit("token_type", s.token_type);
  visit("dpop_jkt", s.dpop_jkt);
  visit("handle", s.handle);
  visit("issued_at", s.issued_at);
  visit("expires_at", s.expires_at);
  visit("refresh_expires_at", s.refresh_expires_at);
  visit("session_started_at", s.session_started_at);
  visit("login_id", s.login_id);
  visit("revision", s.revision);
  visit("state", s.state);
  visit("state_cause", s.state_cause);
  visit("state_changed_at", s.state_changed_at);
}

template <class Session, class Visit>
void for_each_secret(Session& s, Visit&& visit) {
  visit("access_token", s.access_token);
  visit("refresh_token", s.refresh_token);
  visit("id_token", s.id_token);
}

// ----------------------------------------------------------------------------------------------------------
// writing

std::string hex64(std::uint64_t value) {
  unsigned char bytes[8];
  for (std::size_t i = 0; i < sizeof bytes; ++i) {
    bytes[i] = static_cast<unsigned char>(value >> (56 - 8 * i));
  }
  return hex_encode(bytes);
}

// Writes a flat object into `Out`, which is std::string or SecretBuilder: both have
// append(std::string_view).
template <class Out>
class ObjectWriter {
 public:
  explicit ObjectWriter(Out& out) : out_(out) {}

  void member(std::string_view name, std::optional<std::string_view> value) {
    out_.append(std::string_view(first_ ? "{\"" : ",\""));
    first_ = false;
    out_.append(name);
    out_.append(std::string_view("\":"));
    if (!value) {
      out_.append(std::string_view("null"));
      return;
    }
    out_.append(std::string_view("\""));
    for (std::size_t i = 0; i < value->size(); ++i) character(value->substr(i, 1));
    out_.append(std::string_view("\""));
  }
  void end() { out_.append(std::string_view("}")); }

 private:
  void character(std::string_view c) {
    if (c == "\"" || c == "\\") {
      out_.append(std::string_view("\\"));
      out_.append(c);
    } else if (static_cast<unsigned char>(c[0]) < 0x20) {
      out_.append(std::string_view("\\u00"));
      out_.append(std::string_view(hex_encode(as_bytes(c))));
    } else {
      out_.append(c);
    }
  }
  Out& out_;
  bool first_ = true;
};

// What a member of the clear part is as text; empty for null.
std::optional<std::string> text_of(const std::string& value) {
  return value;
}
std::optional<std::string> text_of(TimePoint value) {
  return format_rfc3339(value);
}
std::optional<std::string> text_of(std::uint64_t value) {
  return hex64(value);
}
std::optional<std::string> text_of(Revision value) {
  return hex64(value.value);
}
std::optional<std::string> text_of(SessionState value) {
  return std::string(to_string(value));
}
std::optional<std::string> text_of(ClientAuthMethod value) {
  return std::string(to_string(value));
}
std::optional<std::string> text_of(const std::optional<TimePoint>& value) {
  return value ? text_of(*value) : std::nullopt;
}

// ----------------------------------------------------------------------------------------------------------
// ---------------------------------------------------------------------------------------- reading

Error corrupt(std::string_view prefix, std::string_view detail, const std::string& cause) {
  return make_error(
      ErrorCode::corrupt, std::string(prefix) + "." + std::string(detail),
      "cannot read a session record: " + cause + "; restore it from a copy, or log in again");
}

TimePoint time_from(const std::string& text) {
  const auto time = parse_rfc3339(text);
  return time ? *time : kMalformedTime;
}

bool assign(std::string& to, std::string&& text) {
  to = std::move(text);
  return true;
}
bool assign(TimePoint& to, std::string&& text) {
  to = time_from(text);
  return true;
}
bool assign(std::optional<TimePoint>& to, std::string&& text) {
  to = time_from(text);
  return true;
}
bool assign(std::uint64_t& to, std::string&& text) {
  const auto* end = text.data() + text.size();
  const auto [stop, fault] = std::from_chars(text.data(), end, to, 16);
  // Exactly as we write it, so that one number has one text.
  return fault == std::errc{} && stop == end && hex64(to) == text;
}
bool assign(Revision& to, std::string&& text) {
  return assign(to.value, std::move(text));
}
bool assign(SessionState& to, std::string&& text) {
  const auto state = session_state_from(text);
  if (state) to = *state;
  return state.has_value();
}
bool assign(ClientAuthMethod& to, std::string&& text) {
  const auto method = client_auth_method_from(text);
  if (method) to = *method;
  return method.has_value();
}

Result<void> read_member(const JsonObject& json, std::string_view prefix, std::string_view name,
                         auto& target) {
  constexpr bool optional =
      std::is_same_v<std::remove_reference_t<decltype(target)>, std::optional<TimePoint>>;
  if (optional && json.kind(name) == JsonKind::null) return {};
  auto text = json.string(name);
  if (!text) return std::move(text).error();
  if (!*text) return json.missing(name);
  if (assign(target, std::move(**text))) return {};
  return corrupt(prefix, "bad_value",
                 "the member " + std::string(name) + " has a value that is not allowed");
}

Result<void> read_summary(const JsonObject& json, std::string_view prefix,
                          SessionSummary& summary) {
  std::optional<Error> error;
  for_each_member(summary, [&](std::string_view name, auto& target) {
    if (error) return;
    if (auto read = read_member(json, prefix, name, target); !read) error = std::move(read).error();
  });
  if (error) return *std::move(error);
  return {};
}

Result<void> read_secret(JsonObject& json, std::string_view name, SecretString& target) {
  auto secret = json.take_secret(name);
  if (!secret) return std::move(secret).error();
  if (!*secret) return json.missing(name);
  target = std::move(**secret);
  return {};
}

Result<void> read_secret(JsonObject& json, std::string_view name,
                         std::optional<SecretString>& target) {
  if (json.kind(name) == JsonKind::null) return {};
  return read_secret(json, name, target.emplace());
}

Result<void> refuse_unknown(const JsonObject& json, std::string_view prefix,
                            const std::vector<std::string_view>& known) {
  for (const auto& name : json.names()) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    return corrupt(prefix, "unknown_member", "it has the unknown member " + printable(name, 64));
  }
  return {};
}

std::vector<std::string_view> summary_names() {
  std::vector<std::string_view> names;
  const SessionSummary any;
  for_each_member(any, [&](std::string_view name, const auto&) { names.push_back(name); });
  return names;
}

Result<void> check_format(const JsonObject& json) {
  auto format = json.required_string("format");
  if (!format) return std::move(format).error();
  if (*format == kFormat) return {};
  if (format->starts_with(kFormatFamily)) {
    return make_error(ErrorCode::schema_too_new, "session_json.version",
                      "cannot read a session: a newer latchkey wrote it; update this one");
  }
  return corrupt("session_json", "bad_value", "the member format does not name a session");
}

bool all_utf8(const OAuthSession& session) {
  bool good = true;
  for_each_member(session, [&](std::string_view, const auto& value) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(value)>, std::string>) {
      good = good && is_utf8(value);
    }
  });
  const auto check = [&](const SecretString& secret) { good = good && is_utf8(secret.expose()); };
  check(session.access_token);
  if (session.refresh_token) check(*session.refresh_token);
  if (session.id_token) check(*session.id_token);
  return good;
}

std::optional<std::string_view> view_of(const SecretString& secret) {
  return secret.expose();
}
std::optional<std::string_view> view_of(const std::optional<SecretString>& secret) {
  return secret ? view_of(*secret) : std::nullopt;
}

}  // namespace

std::string summary_to_json(const SessionSummary& summary) {
  std::string out;
  out.reserve(1024);
  ObjectWriter writer(out);
  for_each_member(summary, [&](std::string_view name, const auto& value) {
    auto text = text_of(value);
    if (text && !is_utf8(*text)) text = printable(*text, text->size());
    writer.member(name, text);
  });
  writer.end();
  return out;
}

Result<SessionSummary> summary_from_json(std::string_view text) {
  constexpr std::string_view prefix = "record";
  auto json = JsonObject::parse(text, ErrorCode::corrupt, prefix);
  if (!json) return std::move(json).error();
  if (auto known = refuse_unknown(*json, prefix, summary_names()); !known) {
    return std::move(known).error();
  }
  SessionSummary summary;
  if (auto read = read_summary(*json, prefix, summary); !read) return std::move(read).error();
  return summary;
}

Result<SecretString> session_to_json(const OAuthSession& session) {
  if (!all_utf8(session)) {
    return make_error(ErrorCode::invalid_argument, "session_json.text",
                      "cannot write a session as JSON: a member of it is not UTF-8 text");
  }
  SecretBuilder out(4096);
  ObjectWriter writer(out);
  writer.member("format", kFormat);
  for_each_member(session, [&](std::string_view name, const auto& value) {
    writer.member(name, text_of(value));
  });
  for_each_secret(session, [&](std::string_view name, const auto& secret) {
    writer.member(name, view_of(secret));
  });
  writer.end();
  return std::move(out).finish();
}

Result<OAuthSession> session_from_json(const SecretString& text) {
  constexpr std::string_view prefix = "session_json";
  auto json = JsonObject::parse(text.expose(), ErrorCode::corrupt, prefix);
  if (!json) return std::move(json).error();
  // First: a newer format may have other members, and its name is what the user must hear about.
  if (auto format = check_format(*json); !format) return std::move(format).error();
  OAuthSession session;
  auto known = summary_names();
  known.push_back("format");
  for_each_secret(session, [&](std::string_view name, const auto&) { known.push_back(name); });
  if (auto all = refuse_unknown(*json, prefix, known); !all) return std::move(all).error();
  if (auto read = read_summary(*json, prefix, session); !read) return std::move(read).error();
  std::optional<Error> error;
  for_each_secret(session, [&](std::string_view name, auto& secret) {
    if (error) return;
    if (auto read = read_secret(*json, name, secret); !read) error = std::move(read).error();
  });
  if (error) return *std::move(error);
  return session;
}

}  // namespace latchkey
