// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.oauth.client_hosting;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.url;
import latchkey.dpop.jwk;
import latchkey.http;
import latchkey.http.policy;
import latchkey.oauth.client_finding;

namespace latchkey {
namespace {

constexpr std::string_view kRule = "C1.4";
constexpr std::string_view kStep = "client_document";

Result<JsonObject> parse(std::string_view text) {
  return JsonObject::parse(text, ErrorCode::invalid_metadata, kStep);
}

// Servers compare the media type alone; a +json type is not enough for the reference one.
bool is_plain_json(const HttpResponse& response) {
  const std::string* type = response.headers.find("Content-Type");
  return type != nullptr && has_json_content(response) && type->find('+') == std::string::npos;
}

std::string sorted_text(std::vector<std::string> list) {
  std::sort(list.begin(), list.end());
  std::string text;
  for (const std::string& one : list) text += one + '\n';
  return text;
}

std::optional<std::string> keys_text(const JsonObject& document, std::string_view name) {
  const auto set = document.object(name);
  if (!set || !*set) return std::nullopt;
  const auto keys = (*set)->objects("keys");
  if (!keys || !*keys) return std::nullopt;
  std::vector<std::string> names;
  for (const JsonObject& key : **keys) {
    // Only what makes the thumbprint, with the members in whatever order.
    std::string jwk = "{}";
    for (const std::string& member : key.names()) {
      const auto value = key.string(member);
      if (!value || !*value || member == "kid") continue;
      jwk.insert(jwk.size() - 1,
                 (jwk.size() > 2 ? "," : "") + json_quote(member) + ":" + json_quote(**value));
    }
    const auto kid = key.string("kid");
    names.push_back((kid && *kid ? **kid : "") + '=' + jwk_thumbprint(jwk).value_or("?"));
  }
  return sorted_text(std::move(names));
}

// A member's value in a form in which equal meanings are equal texts; nothing if it is absent.
std::optional<std::string> meaning(const JsonObject& document, const std::string& name) {
  if (name == "jwks") {
    if (auto keys = keys_text(document, name)) return keys;
  }
  if (auto list = document.strings(name); list && *list) return sorted_text(**std::move(list));
  return document.json_text(name);
}

}  // namespace

HostedCopy judge_hosted_copy(std::string_view client_id, const HttpResponse& response) {
  HostedCopy copy;
  const auto add = [&](std::string_view name, std::string message) {
    copy.findings.push_back(client_finding(kRule, name, std::move(message)));
  };
  if (response.status >= 300 && response.status < 400) {
    add("redirected", "the document must be served by its own URL: servers follow no redirect");
    return copy;
  }
  if (response.status != 200) {
    add("status",
        "the document must be served with status 200, not " + std::to_string(response.status));
    return copy;
  }
  copy.text = std::string(response.body.expose());
  if (!is_plain_json(response)) {
    add("content_type", "the document must be served as application/json");
  }
  const auto document = parse(copy.text);
  if (!document) {
    add("not_json", document.error().message);
    copy.text.clear();
    return copy;
  }
  const auto named = document->string("client_id");
  if (!named || *named != client_id) {
    add("client_id", "client_id in the document must be exactly the URL that serves it, " +
                         printable(client_id, 200));
  }
  return copy;
}

Result<HostedCopy> fetch_hosted_copy(HttpTransport& strangers, std::string_view client_id,
                                     std::stop_token stop) {
  auto url = Url::parse(client_id);
  if (!url) return std::move(url).error();
  auto answer = strangers.send(json_get(*url), metadata_limits(std::move(stop)));
  if (!answer) return std::move(answer).error();
  return judge_hosted_copy(client_id, *answer);
}

std::vector<ClientFinding> compare_documents(std::string_view own, std::string_view hosted) {
  const auto ours = parse(own), theirs = parse(hosted);
  if (!ours) return {client_finding(kRule, "not_json", ours.error().message)};
  if (!theirs) return {client_finding(kRule, "not_json", theirs.error().message)};
  std::set<std::string> names;
  for (const JsonObject* document : {&*ours, &*theirs}) {
    for (std::string& name : document->names()) names.insert(std::move(name));
  }
  std::vector<ClientFinding> findings;
  for (const std::string& name : names) {
    const auto here = meaning(*ours, name), there = meaning(*theirs, name);
    if (here == there) continue;
    findings.push_back(
        client_finding(kRule, "differs",
                       printable(name, 60) + (!there  ? " is missing from the hosted document"
                                              : !here ? " is in the hosted document only"
                                                      : " is another in the hosted document")));
  }
  return findings;
}

}  // namespace latchkey
