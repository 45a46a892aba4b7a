// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.sandbox.sign_in;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.http;
import latchkey.sandbox.accounts;
import latchkey.sandbox.message;

namespace latchkey::sandbox {
namespace {

constexpr std::string_view kCookie = "sandbox-browser";
constexpr unsigned kMaxFailures = 5;

std::string cookie_of(const Request& request) {
  const auto* text = request.headers.find("Cookie");
  if (text == nullptr) return {};
  std::string_view rest = *text;
  const std::string start = std::string(kCookie) + '=';
  while (!rest.empty()) {
    const auto end = rest.find(';');
    auto pair = rest.substr(0, end);
    while (pair.starts_with(' ')) pair.remove_prefix(1);
    if (pair.starts_with(start)) return std::string(pair.substr(start.size()));
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  }
  return {};
}

}  // namespace

bool SignInDesk::is_navigation(const Request& request) {
  const auto* destination = request.headers.find("Sec-Fetch-Dest");
  return destination == nullptr || *destination == "document";
}

bool SignInDesk::show(PageState& page, const Request& request) {
  const std::string cookie = cookie_of(request);
  if (!page.browser.empty()) return constant_time_equal(page.browser, cookie);
  page.browser = cookie.empty() ? random_token(random_, 16) : cookie;
  page.form_token = random_token(random_, 16);
  return true;
}

std::pair<std::string, std::string> SignInDesk::cookie(const PageState& page,
                                                       std::string_view path) {
  return {"Set-Cookie", std::string(kCookie) + '=' + page.browser + "; Path=" + std::string(path) +
                            "; HttpOnly; SameSite=Lax"};
}

std::optional<FormFields> SignInDesk::own_form(const Request& request) const {
  const auto* origin = request.headers.find("Origin");
  const auto* site = request.headers.find("Sec-Fetch-Site");
  const bool own =
      (origin == nullptr || *origin == issuer_) && (site == nullptr || *site == "same-origin");
  auto form = read_form(request);
  if (!own || !form) return std::nullopt;
  return *std::move(form);
}

Decision SignInDesk::decide(PageState& page, const Request& request, const FormFields& form) {
  if (page.browser.empty() || !constant_time_equal(cookie_of(request), page.browser) ||
      !constant_time_equal(field(form, "form_token").value_or(""), page.form_token)) {
    return {.kind = Decision::Kind::foreign};
  }
  const auto decision = field(form, "decision");
  if (decision == "deny") return {.kind = Decision::Kind::denied};
  const Account* account = accounts_.find_here(field(form, "identifier").value_or(""));
  if (account != nullptr && decision == "allow" &&
      constant_time_equal(field(form, "password").value_or(""), account->password)) {
    return {.kind = Decision::Kind::allowed, .account = account};
  }
  return {.kind = ++page.failures >= kMaxFailures ? Decision::Kind::too_many_failures
                                                  : Decision::Kind::wrong_password};
}

}  // namespace latchkey::sandbox
