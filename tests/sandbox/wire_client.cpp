// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.wire_client;
import latchkey.core;
import latchkey.core.json;
import latchkey.sandbox;
import latchkey.test.proof_key;
import latchkey.test.raw_client;

namespace latchkey::test {
namespace {

constexpr std::string_view kRedirect = "http://127.0.0.1:9/callback";

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

WireAnswer parse_answer(std::string_view text) {
  WireAnswer answer;
  const auto end = text.find("\r\n\r\n");
  if (end == std::string_view::npos || text.size() < 12) return answer;
  std::from_chars(text.data() + 9, text.data() + 12, answer.status);
  answer.body = text.substr(end + 4);
  auto head = text.substr(0, end);
  while (!head.empty()) {
    const auto line_end = head.find("\r\n");
    const auto line = head.substr(0, line_end);
    if (const auto colon = line.find(": "); colon != std::string_view::npos) {
      answer.headers.emplace_back(line.substr(0, colon), line.substr(colon + 2));
    }
    head = line_end == std::string_view::npos ? std::string_view{} : head.substr(line_end + 2);
  }
  return answer;
}

std::int64_t seconds_now() {
  using namespace std::chrono;
  return duration_cast<seconds>(system_clock::now().time_since_epoch()).count();
}

}  // namespace

std::string WireAnswer::header(std::string_view name) const {
  const auto found = std::find_if(headers.begin(), headers.end(), [&](const auto& one) {
    return lower(one.first) == lower(std::string(name));
  });
  return found == headers.end() ? std::string() : found->second;
}

std::string WireAnswer::text(std::string_view name) const {
  const auto object = JsonObject::parse(body, ErrorCode::invalid_response, "wire");
  if (!object) return {};
  const auto value = object->string(name);
  return value ? value->value_or("") : std::string();
}

std::string WireAnswer::outcome() const {
  return std::to_string(status) + ' ' + text("error");
}

WireAnswer exchange(const std::string& origin, std::string_view method, std::string_view target,
                    const WireHeaders& headers, std::string_view body, std::string_view host) {
  const std::string authority = origin.substr(7);
  const auto port =
      static_cast<std::uint16_t>(std::stoi(authority.substr(authority.find(':') + 1)));
  std::string request = std::string(method) + ' ' + std::string(target) +
                        " HTTP/1.1\r\nHost: " + (host.empty() ? authority : std::string(host)) +
                        "\r\nConnection: close\r\n";
  for (const auto& [name, value] : headers) request += name + ": " + value + "\r\n";
  if (!body.empty() || method == "POST") {
    request += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  }
  RawClient client(port);
  return parse_answer(client.send(request + "\r\n" + std::string(body)).read_all());
}

std::string encode(const Form& form) {
  return form_encode(FormFields(form.begin(), form.end()));
}

WireClient::WireClient(const sandbox::Sandbox& where, std::string wanted)
    : servers(where),
      redirect_uri(kRedirect),
      scope(std::move(wanted)),
      verifier("a-verifier-that-is-long-enough-for-rfc-7636-43"),
      state("the-state") {
  client_id = "http://localhost?redirect_uri=" + percent_encode(redirect_uri) +
              "&scope=" + percent_encode(scope);
}

Members WireClient::claims(std::string_view method, const std::string& url) const {
  auto out = proof_claims(method, url, seconds_now() + ahead);
  const auto origin = Url::parse(url).value().origin();
  if (const auto nonce = nonces.find(origin); nonce != nonces.end()) {
    out["nonce"] = quoted(nonce->second);
  }
  return out;
}

std::string WireClient::proof(std::string_view method, const std::string& url) const {
  return key.sign(key.header(), claims(method, url));
}

WireAnswer WireClient::post_with(const std::string& path, const Form& form,
                                 const std::string& dpop) {
  WireHeaders sent = extra_headers;
  sent.emplace_back("Content-Type", "application/x-www-form-urlencoded");
  if (!dpop.empty()) sent.emplace_back("DPoP", dpop);
  auto answer = exchange(servers.issuer(), "POST", path, sent, encode(form));
  if (const auto nonce = answer.header("DPoP-Nonce"); !nonce.empty()) {
    nonces[servers.issuer()] = nonce;
  }
  return answer;
}

WireAnswer WireClient::post(const std::string& path, const Form& form) {
  const std::string url = servers.issuer() + path;
  const auto attempt = [&] {
    Form sent = form;
    if (authenticate) authenticate(sent);
    return post_with(path, sent, bearer ? std::string() : proof("POST", url));
  };
  auto answer = attempt();
  if (answer.text("error") == "use_dpop_nonce") answer = attempt();
  return answer;
}

WireAnswer WireClient::call(std::string_view method, const std::string& target,
                            const std::string& token, std::string_view body,
                            std::string_view type) {
  WireAnswer answer;
  for (int attempt = 0; attempt < 2; ++attempt) {
    auto parts = claims(method, servers.pds() + target);
    parts["ath"] = quoted(hash_text(token));
    WireHeaders headers{{"Authorization", "DPoP " + token},
                        {"DPoP", key.sign(key.header(), parts)}};
    const bool typed = !type.empty() && method == "POST";
    if (typed) headers.emplace_back("Content-Type", type);
    answer = exchange(servers.pds(), method, target, headers, body);
    if (const auto nonce = answer.header("DPoP-Nonce"); !nonce.empty()) {
      nonces[servers.pds()] = nonce;
    }
    if (answer.text("error") != "use_dpop_nonce") break;
  }
  return answer;
}

Form WireClient::par_form() const {
  return {{"client_id", client_id},
          {"response_type", "code"},
          {"redirect_uri", redirect_uri},
          {"scope", scope},
          {"state", state},
          {"login_hint", login_hint},
          {"code_challenge", hash_text(verifier)},
          {"code_challenge_method", "S256"}};
}

std::string WireClient::authorize_target(const std::string& request_uri) const {
  return "/oauth/authorize?client_id=" + percent_encode(client_id) +
         "&request_uri=" + percent_encode(request_uri);
}

std::string WireClient::code() {
  const auto pushed = post("/oauth/par", par_form());
  const auto page = exchange(servers.issuer(), "GET", authorize_target(pushed.text("request_uri")));
  auto found = query_field(page.header("Location"), "code");
  if (found.empty()) throw std::runtime_error("no code: " + pushed.outcome() + ", " + page.body);
  return found;
}

Form WireClient::code_form(const std::string& code) const {
  return {{"grant_type", "authorization_code"},
          {"client_id", client_id},
          {"code", code},
          {"redirect_uri", redirect_uri},
          {"code_verifier", verifier}};
}

Form WireClient::refresh_form(const std::string& refresh_token) const {
  return {
      {"grant_type", "refresh_token"}, {"client_id", client_id}, {"refresh_token", refresh_token}};
}

WireAnswer WireClient::log_in() {
  return post("/oauth/token", code_form(code()));
}

std::string query_field(std::string_view url, std::string_view name) {
  const auto fields = form_decode(url.substr(std::min(url.size(), url.find('?') + 1)));
  if (!fields) return {};
  const auto value = form_value(*fields, name);
  return value && *value != nullptr ? **value : std::string();
}

}  // namespace latchkey::test
