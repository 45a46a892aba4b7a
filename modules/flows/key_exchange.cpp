// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <utility>
module latchkey.flows.key_exchange;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.url;
import latchkey.flows.secret_json;
import latchkey.http;
import latchkey.oauth.client_auth;

namespace latchkey {
namespace {

constexpr std::string_view kStep = "key_exchange";

bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

Result<void> check_names(const KeyExchange& exchange) {
  std::set<std::string_view> seen;
  const auto good = [&](std::string_view name) {
    return is_name(name) && seen.insert(name).second;
  };
  const bool all = good(exchange.member) &&
                   std::all_of(exchange.parameters.begin(), exchange.parameters.end(),
                               [&](const auto& parameter) {
                                 return good(parameter.first) && is_utf8(parameter.second);
                               });
  if (all) return {};
  return make_error(ErrorCode::invalid_argument, "key_exchange.member",
                    "cannot exchange the access key: the name of a member is malformed or occurs "
                    "twice, or a value is not UTF-8; use letters, digits, _, - and .");
}

Result<void> check_key(const SecretString& key) {
  const auto text = key.expose();
  const bool printable_ascii =
      std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (!text.empty() && printable_ascii) return {};
  return make_error(ErrorCode::invalid_argument, "key_exchange.key",
                    "cannot exchange the access key: it is empty or has spaces, line ends or "
                    "non-ASCII characters; check where it was copied from");
}

template <class Body>
SecretString body_of(const KeyExchange& exchange) {
  Body body;
  body.add(exchange.member, exchange.key.expose());
  for (const auto& [name, value] : exchange.parameters) body.add(name, value);
  return std::move(body).finish();
}

}  // namespace

Result<HttpRequest> build_key_exchange_request(const KeyExchange& exchange) {
  auto url = parse_endpoint(exchange.endpoint, kStep);
  if (!url) return std::move(url).error();
  if (auto checked = check_key(exchange.key); !checked) return std::move(checked).error();
  if (auto checked = check_names(exchange); !checked) return std::move(checked).error();
  if (exchange.body == KeyExchange::Body::form) {
    return form_post(*url, body_of<SecretForm>(exchange));
  }
  HttpRequest request = json_get(*url);
  request.method = "POST";
  if (auto added = request.headers.add("Content-Type", "application/json"); !added) {
    return std::move(added).error();
  }
  request.body = body_of<SecretJson>(exchange);
  return request;
}

}  // namespace latchkey
