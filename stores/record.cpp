// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.store.record;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.session;
import latchkey.store.vault;

namespace latchkey {
namespace {

constexpr std::string_view kSummaryPrefix = "latchkey.summary.v1";
constexpr unsigned char kTokensVersion = 1;
constexpr std::size_t kMaxSubject = 2048;
// What RFC 3339 can write: 0000-01-01 to the end of 9999.
constexpr std::int64_t kFirstMillis = -62'167'219'200'000;
constexpr std::int64_t kLastMillis = 253'402'300'799'999;

Error refused(std::string_view detail, std::string cause) {
  return make_error(ErrorCode::invalid_argument, detail,
                    "cannot keep a session: " + std::move(cause));
}

// Each field: a presence byte, and if it is 1 a big-endian length of 4 bytes and the bytes. So no
// byte can move from one field to its neighbour and leave the encoding as it was.
class CanonicalWriter {
 public:
  CanonicalWriter() {
    out_.reserve(1024);
    out_ += kSummaryPrefix;
  }
  void field(std::string_view text) {
    out_ += '\1';
    number(text.size(), 4);
    out_ += text;
  }
  void field(std::uint64_t value) {
    out_ += '\1';
    number(8, 4);
    number(value, 8);
  }
  void field(TimePoint time) { field(static_cast<std::uint64_t>(time.time_since_epoch().count())); }
  void field(const std::optional<TimePoint>& time) {
    if (time) {
      field(*time);
    } else {
      out_ += '\0';
    }
  }
  [[nodiscard]] std::string finish() && { return std::move(out_); }

 private:
  void number(std::uint64_t value, int bytes) {
    while (bytes-- > 0) out_ += static_cast<char>(value >> (8 * bytes));
  }
  std::string out_;
};

// The tokens as they are sealed: version, then access, refresh and id token, each with a presence
// byte and a length.
constexpr std::size_t kTokenOverhead = 5;

std::size_t encoded_size(const SecretString* token) {
  return token == nullptr ? 1 : kTokenOverhead + token->size();
}

void append_token(std::span<unsigned char>& out, const SecretString* token) {
  out[0] = token != nullptr;
  if (token == nullptr) {
    out = out.subspan(1);
    return;
  }
  const auto text = as_bytes(token->expose());
  for (std::size_t i = 0; i < 4; ++i) {
    out[1 + i] = static_cast<unsigned char>(text.size() >> (24 - 8 * i));
  }
  if (!text.empty()) std::memcpy(out.data() + kTokenOverhead, text.data(), text.size());
  out = out.subspan(kTokenOverhead + text.size());
}

const SecretString* pointer_to(const std::optional<SecretString>& token) {
  return token ? &*token : nullptr;
}

SecretBytes encode_tokens(const OAuthSession& session) {
  const std::array tokens{&session.access_token, pointer_to(session.refresh_token),
                          pointer_to(session.id_token)};
  std::size_t size = 1;
  for (const auto* token : tokens) size += encoded_size(token);
  SecretBytes bytes(size);
  auto rest = bytes.mutable_span();
  rest[0] = kTokensVersion;
  rest = rest.subspan(1);
  for (const auto* token : tokens) append_token(rest, token);
  return bytes;
}

// False if what follows is not a token; an empty optional is a token that is not there.
bool take_token(std::span<const unsigned char>& rest, std::optional<SecretString>& token) {
  if (rest.empty() || rest[0] > 1) return false;
  if (rest[0] == 0) {
    rest = rest.subspan(1);
    return true;
  }
  if (rest.size() < kTokenOverhead) return false;
  std::size_t size = 0;
  for (std::size_t i = 1; i < kTokenOverhead; ++i) size = size << 8 | rest[i];
  if (size > rest.size() - kTokenOverhead) return false;
  token = SecretString(as_text(rest.subspan(kTokenOverhead, size)));
  rest = rest.subspan(kTokenOverhead + size);
  return true;
}

Result<void> decode_tokens(std::span<const unsigned char> bytes, OAuthSession& session) {
  const Error malformed = make_error(
      ErrorCode::corrupt, "record.malformed",
      "cannot read the tokens of a session: the opened box does not hold tokens; log in again");
  if (bytes.empty()) return malformed;
  if (bytes[0] > kTokensVersion) {
    return make_error(
        ErrorCode::schema_too_new, "record.version",
        "cannot read the tokens of a session: a newer latchkey wrote them; update this one");
  }
  std::optional<SecretString> access;
  auto rest = bytes.subspan(1);
  if (bytes[0] != kTokensVersion || !take_token(rest, access) || !access ||
      !take_token(rest, session.refresh_token) || !take_token(rest, session.id_token) ||
      !rest.empty()) {
    return malformed;
  }
  session.access_token = *std::move(access);
  return {};
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

bool can_be_written(TimePoint time) {
  const std::int64_t millis = time.time_since_epoch().count();
  return millis >= kFirstMillis && millis <= kLastMillis;
}

Result<void> check_summary(const SessionSummary& s) {
  if (auto subject = check_subject(s.subject); !subject) return subject;
  for (const auto* text : {&s.issuer, &s.resource_server, &s.token_endpoint, &s.revocation_endpoint,
                           &s.par_endpoint, &s.client_id, &s.client_auth_kid, &s.redirect_uri,
                           &s.scope, &s.token_type, &s.dpop_jkt, &s.handle, &s.state_cause}) {
    if (!is_utf8(*text)) return refused("record.text", "a member of it is not UTF-8 text");
  }
  for (const auto& time : {std::optional(s.issued_at), s.expires_at, s.refresh_expires_at,
                           std::optional(s.session_started_at), s.state_changed_at}) {
    if (time && !can_be_written(*time)) {
      return refused("record.time_range", "a time of it lies outside the years 0000 to 9999");
    }
  }
  return {};
}

}  // namespace

std::string canonical_summary(const SessionSummary& summary) {
  // A structured binding: a member that is added to SessionSummary and forgotten here does not
  // compile.
  const auto& [subject, issuer, resource_server, token_endpoint, revocation_endpoint, par_endpoint,
               client_id, client_auth_method, client_auth_kid, redirect_uri, scope, token_type,
               dpop_jkt, handle, issued_at, expires_at, refresh_expires_at, session_started_at,
               login_id, revision, state, state_cause, state_changed_at] = summary;
  CanonicalWriter out;
  out.field(subject);
  out.field(issuer);
  out.field(resource_server);
  out.field(token_endpoint);
  out.field(revocation_endpoint);
  out.field(par_endpoint);
  out.field(client_id);
  out.field(to_string(client_auth_method));
  out.field(client_auth_kid);
  out.field(redirect_uri);
  out.field(scope);
  out.field(token_type);
  out.field(dpop_jkt);
  out.field(handle);
  out.field(issued_at);
  out.field(expires_at);
  out.field(refresh_expires_at);
  out.field(session_started_at);
  out.field(login_id);
  out.field(revision.value);
  out.field(to_string(state));
  out.field(state_cause);
  out.field(state_changed_at);
  return std::move(out).finish();
}

Result<SealedRecord> seal_session(const OAuthSession& session, Sealer& sealer) {
  if (auto good = check_summary(session); !good) return std::move(good).error();
  auto box = sealer.seal(encode_tokens(session).expose(), canonical_summary(session));
  if (!box) return std::move(box).error();
  if (box->size() > kMaxBoxSize) {
    return refused("record.too_large", "its tokens are larger than 256 KiB");
  }
  return SealedRecord{.summary = session, .box = *std::move(box)};
}

Result<OAuthSession> unseal_session(const SealedRecord& record, Sealer& sealer) {
  if (record.box.size() > kMaxBoxSize) {
    return make_error(ErrorCode::corrupt, "record.too_large",
                      "cannot read the session of " + printable(record.summary.subject, 200) +
                          ": its box is larger than 256 KiB; log in again");
  }
  auto tokens = sealer.open(record.box, canonical_summary(record.summary));
  if (!tokens) return std::move(tokens).error();
  OAuthSession session{record.summary, {}, {}, {}};
  if (auto decoded = decode_tokens(tokens->expose(), session); !decoded) {
    return std::move(decoded).error();
  }
  return session;
}

Result<void> check_subject(std::string_view subject) {
  if (!subject.empty() && subject.size() <= kMaxSubject && !has_control(subject) &&
      is_utf8(subject)) {
    return {};
  }
  return make_error(
      ErrorCode::invalid_argument, "subject.invalid",
      "cannot use a subject: it must be 1 to 2048 bytes of UTF-8 text without control characters");
}

}  // namespace latchkey
