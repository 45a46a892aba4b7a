// SPDX-License-Identifier: MIT
module;
#include <sodium.h>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
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
// reading

Error corrupt(std::string_view prefix, std::string_view detail, std::string cause) {
  return make_error(ErrorCode::corrupt, std::string(prefix) + "." + std::string(detail),
                    "cannot read a session record: " + std::move(cause) +
                        "; restore it from a copy, or log in again");
}

struct Member {
  std::string_view name;
  bool secret = false;
  bool seen = false;
  bool null = false;
  std::string text{};     // of a clear member
  SecretString hidden{};  // of a secret one
};

// Takes the parser's events; stops at the first that a flat object of texts and nulls does not
// have.
class MemberReader {
 public:
  MemberReader(std::vector<Member>& members, std::string_view prefix)
      : members_(members), prefix_(prefix) {}

  [[nodiscard]] Error error() const {
    return error_.value_or(corrupt(prefix_, "malformed", "it is not a JSON object"));
  }

  bool start_object(std::size_t) {
    if (depth_++ == 0) return true;
    return refuse_type();
  }
  bool key(std::string& name) {
    // In the order we write, the next member is the one after the last: the search ends at once.
    for (std::size_t i = 0; i < members_.size(); ++i) {
      Member& candidate = members_[(next_ + i) % members_.size()];
      if (candidate.name != name) continue;
      current_ = &candidate;
      next_ = (next_ + i + 1) % members_.size();
      if (!std::exchange(candidate.seen, true)) return true;
      return refuse("duplicate_member", "the member " + name + " occurs twice");
    }
    return refuse("unknown_member", "it has the unknown member " + printable(name, 64));
  }
  bool string(std::string& text) {
    if (current_ == nullptr) return refuse_type();
    if (current_->secret) {
      current_->hidden = SecretString(text);
      sodium_memzero(text.data(), text.size());
    } else {
      current_->text = text;
    }
    current_ = nullptr;
    return true;
  }
  bool null() {
    if (current_ == nullptr) return refuse_type();
    std::exchange(current_, nullptr)->null = true;
    return true;
  }
  bool end_object() { return true; }
  bool boolean(bool) { return refuse_type(); }
  bool number_integer(std::int64_t) { return refuse_type(); }
  bool number_unsigned(std::uint64_t) { return refuse_type(); }
  bool number_float(double, const std::string&) { return refuse_type(); }
  bool binary(nlohmann::json::binary_t&) { return refuse_type(); }
  bool start_array(std::size_t) { return refuse_type(); }
  bool end_array() { return refuse_type(); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) {
    return refuse("malformed", "it is not JSON");
  }

 private:
  bool refuse(std::string_view detail, std::string cause) {
    error_ = corrupt(prefix_, detail, std::move(cause));
    return false;
  }
  bool refuse_type() {
    if (current_ == nullptr) return refuse("malformed", "it is not a JSON object");
    return refuse("wrong_type", "the member " + std::string(current_->name) + " has a wrong type");
  }

  std::vector<Member>& members_;
  std::string_view prefix_;
  std::optional<Error> error_;
  Member* current_ = nullptr;
  std::size_t next_ = 0;
  int depth_ = 0;
};

Result<void> read_members(std::string_view json, std::vector<Member>& members,
                          std::string_view prefix) {
  MemberReader reader(members, prefix);
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &reader)) return reader.error();
  for (const Member& member : members) {
    if (!member.seen) {
      return corrupt(prefix, "missing_member",
                     "the member " + std::string(member.name) + " is missing");
    }
  }
  return {};
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

// Moves what was read into the summary; members[first] is the summary's first.
Result<void> assign_summary(SessionSummary& summary, std::vector<Member>& members,
                            std::size_t first, std::string_view prefix) {
  std::optional<Error> error;
  std::size_t index = first;
  for_each_member(summary, [&](std::string_view name, auto& target) {
    Member& member = members[index++];
    constexpr bool optional =
        std::is_same_v<std::remove_reference_t<decltype(target)>, std::optional<TimePoint>>;
    if (error || (optional && member.null)) return;
    if (member.null) {
      error = corrupt(prefix, "wrong_type", "the member " + std::string(name) + " is null");
    } else if (!assign(target, std::move(member.text))) {
      error = corrupt(prefix, "bad_value",
                      "the member " + std::string(name) + " has a value that is not allowed");
    }
  });
  if (error) return *std::move(error);
  return {};
}

std::vector<Member> summary_members() {
  std::vector<Member> members;
  members.reserve(32);
  const SessionSummary names_only;
  for_each_member(names_only,
                  [&](std::string_view name, const auto&) { members.push_back({.name = name}); });
  return members;
}

Result<void> check_format(const Member& format) {
  if (!format.null && format.text == kFormat) return {};
  if (format.text.starts_with(kFormatFamily)) {
    return make_error(ErrorCode::schema_too_new, "session_json.version",
                      "cannot read a session: it was written by a newer latchkey; update this one");
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

Result<SessionSummary> summary_from_json(std::string_view json) {
  auto members = summary_members();
  if (auto read = read_members(json, members, "record"); !read) return std::move(read).error();
  SessionSummary summary;
  if (auto assigned = assign_summary(summary, members, 0, "record"); !assigned) {
    return std::move(assigned).error();
  }
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

Result<OAuthSession> session_from_json(const SecretString& json) {
  constexpr std::string_view prefix = "session_json";
  auto members = summary_members();
  members.insert(members.begin(), Member{.name = "format"});
  OAuthSession session;
  for_each_secret(session, [&](std::string_view name, const auto&) {
    members.push_back({.name = name, .secret = true});
  });
  auto read = read_members(json.expose(), members, prefix);
  // A newer format may have other members: its name is what the user must hear about.
  if (members[0].seen) {
    if (auto format = check_format(members[0]); !format) return std::move(format).error();
  }
  if (!read) return std::move(read).error();
  if (auto assigned = assign_summary(session, members, 1, prefix); !assigned) {
    return std::move(assigned).error();
  }
  Member* const secrets = &members[members.size() - 3];
  if (secrets[0].null) return corrupt(prefix, "wrong_type", "the member access_token is null");
  session.access_token = std::move(secrets[0].hidden);
  if (!secrets[1].null) session.refresh_token = std::move(secrets[1].hidden);
  if (!secrets[2].null) session.id_token = std::move(secrets[2].hidden);
  return session;
}

}  // namespace latchkey
