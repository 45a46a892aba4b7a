// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>
module latchkey.sandbox.recorder;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.http;
import latchkey.sandbox.message;

namespace latchkey::sandbox {
namespace {

constexpr std::size_t kMaxRecorded = 10'000;
constexpr std::size_t kMaxText = 512;

std::optional<JsonObject> read_json(std::string_view text) {
  auto object = JsonObject::parse(text, ErrorCode::invalid_argument, "record");
  if (!object) return std::nullopt;
  return *std::move(object);
}

std::string text_of(const JsonObject& object, std::string_view name) {
  const auto text = object.string(name);
  return text ? text->value_or("") : std::string();
}

std::optional<ProofSummary> summary_of(const Headers& headers) {
  const auto* proof = headers.find("DPoP");
  if (proof == nullptr) return std::nullopt;
  ProofSummary summary;
  const auto start = proof->find('.');
  if (start == std::string::npos) return summary;
  const auto end = proof->find('.', start + 1);
  const auto claims = base64url_decode(
      std::string_view(*proof).substr(start + 1, end == std::string::npos ? end : end - start - 1));
  const auto object = claims ? read_json(as_text(*claims)) : std::nullopt;
  if (!object) return summary;
  return ProofSummary{.jti = printable(text_of(*object, "jti"), kMaxText),
                      .nonce = object->contains("nonce"),
                      .ath = object->contains("ath")};
}

}  // namespace

std::string error_name(const Response& answer) {
  if (answer.status < 400) return {};
  const auto object = read_json(answer.body);
  return object ? printable(text_of(*object, "error"), kMaxText) : std::string();
}

RecordedRequest Recorder::describe(Server server, const Request& request) const {
  RecordedRequest record{.server = server,
                         .method = request.method,
                         .path = request.path,
                         .agent = {},
                         .grant_type = {},
                         .redirect_uri = {},
                         .proof = summary_of(request.headers),
                         .error = {},
                         .detail = {},
                         .fault = {}};
  if (const auto* agent = request.headers.find("User-Agent")) {
    record.agent = printable(*agent, kMaxText);
  }
  if (const auto form = read_form(request)) {
    record.grant_type = printable(field(*form, "grant_type").value_or(""), kMaxText);
    record.redirect_uri = printable(field(*form, "redirect_uri").value_or(""), kMaxText);
  }
  if (keep_contents_) record.contents = request;
  return record;
}

void Recorder::add(RecordedRequest record) {
  record.number = ++last_;
  records_.push_back(std::move(record));
  if (records_.size() > kMaxRecorded) records_.pop_front();
}

void Recorder::learn(const Request& request, const Response& answer) {
  if (!capturing_) return;
  if (const auto form = read_form(request)) {
    for (const std::string_view name : {"code", "code_verifier", "refresh_token", "token",
                                        "client_assertion", "client_secret", "device_code"}) {
      remember(field(*form, name));
    }
  }
  const bool issues_tokens =
      request.path == "/oauth/token" || request.path.starts_with("/xrpc/com.atproto.server.");
  if (!issues_tokens || answer.status != 200) return;
  const auto tokens = read_json(answer.body);
  if (!tokens) return;
  for (const std::string_view name :
       {"access_token", "refresh_token", "id_token", "accessJwt", "refreshJwt"}) {
    remember(text_of(*tokens, name));
  }
}

void Recorder::remember(const std::optional<std::string>& secret) {
  if (secret && !secret->empty() && known_.insert(*secret).second) captured_.push_back(*secret);
}

}  // namespace latchkey::sandbox
