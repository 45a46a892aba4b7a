// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.sandbox.pages;
import latchkey.core.encoding;
import latchkey.core.url;
import latchkey.loopback.pages;
import latchkey.oauth.scope;
import latchkey.sandbox.message;

namespace latchkey::sandbox {
namespace {

constexpr std::string_view kStyle = R"css(
:root { color-scheme: light dark; --back: #f4f4f1; --card: #ffffff; --text: #1c1d1f; --soft: #5b5f66;
        --line: #c9c9c4; --act: #1f5fbf; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --back: #141517; --card: #1f2124; --text: #ececea; --soft: #a4a8ae; --line: #44484e;
          --act: #7fb0ff; --bad: #ff8a80; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: flex; align-items: center; justify-content: center;
       padding: 1.5rem; background: var(--back); color: var(--text);
       font: 1.0625rem/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { width: 100%; max-width: 28rem; padding: 2rem; border-radius: 1rem; background: var(--card);
       box-shadow: 0 1px 3px rgba(0, 0, 0, .2); overflow-wrap: anywhere; }
h1 { margin: 0 0 .75rem; font-size: 1.5rem; line-height: 1.25; }
p, ul { margin: .75rem 0; } ul { padding-left: 1.25rem; }
.soft { color: var(--soft); font-size: .9375rem; }
.bad { color: var(--bad); }
label { display: block; margin-top: 1rem; font-size: .9375rem; color: var(--soft); }
input { width: 100%; margin-top: .25rem; padding: .6rem .75rem; font: inherit; color: inherit;
        background: transparent; border: 1px solid var(--line); border-radius: .5rem; }
.acts { display: flex; gap: .75rem; margin-top: 1.5rem; }
button { flex: 1; padding: .65rem; font: inherit; border-radius: .5rem; cursor: pointer;
         border: 1px solid var(--act); background: transparent; color: var(--act); }
button.main { background: var(--act); color: var(--card); }
)css";

std::string shown(std::string_view text) {
  return escape_html(printable(text, 300));
}

// Where the form may lead: here, and by the redirect to the client. Browsers know no IPv6 literals
// in a policy; a private-use scheme has no origin.
std::string form_targets(std::string_view redirect_uri) {
  const auto url = Url::parse(redirect_uri);
  if (!url) return "'self' " + std::string(redirect_uri.substr(0, redirect_uri.find(':') + 1));
  return "'self' " + (url->host().starts_with('[') ? "http:" : url->origin());
}

Response page(int status, std::string_view title, const std::string& body,
              std::string_view form_action) {
  Response response{.status = status, .content_type = "text/html; charset=utf-8", .body = {}};
  std::string& out = response.body;
  out = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  out += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>";
  out += escape_html(title);
  out += "</title>\n<style>";
  out += kStyle;
  out += "</style>\n</head>\n<body>\n<main>\n<h1>";
  out += escape_html(title);
  out += "</h1>\n" + body + "</main>\n</body>\n</html>\n";
  response.headers = {
      {"Cache-Control", "no-store"},
      {"Content-Security-Policy",
       "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; "
       "form-action " +
           std::string(form_action)},
      {"Referrer-Policy", "same-origin"},
      {"X-Content-Type-Options", "nosniff"},
      {"X-Frame-Options", "DENY"}};
  return response;
}

std::string meaning(std::string_view token) {
  if (token == "atproto") return "know which account you have";
  if (token == "transition:generic") return "read and change everything in your repository";
  if (token == "transition:email") return "see your e-mail address";
  if (token == "transition:chat.bsky") return "read and write your chats";
  if (token == "openid") return "know who you are";
  if (token == "profile") return "see your handle";
  if (token == "email") return "see your e-mail address";
  if (token == "offline_access") return "stay signed in";
  return "use the permission " + std::string(token);
}

std::string hidden(std::string_view name, std::string_view value) {
  return "<input type=\"hidden\" name=\"" + std::string(name) + "\" value=\"" + escape_html(value) +
         "\">\n";
}

std::string alert(std::string_view problem) {
  if (problem.empty()) return {};
  return "<p class=\"bad\" role=\"alert\">" + shown(problem) + "</p>\n";
}

// Who asks, and for what.
std::string asked_for(std::string_view lead, std::string_view scope, std::string_view client_id) {
  std::string body = "<p>" + std::string(lead) + "</p>\n<ul>\n";
  if (const auto parsed = ScopeSet::parse(scope)) {
    for (const auto& token : parsed->tokens()) body += "<li>" + shown(meaning(token)) + "</li>\n";
  }
  return body + "</ul>\n<p class=\"soft\">It calls itself " + shown(client_id) + "</p>\n";
}

// The rest of a form, from the handle to the buttons.
std::string sign_in_fields(std::string_view identifier) {
  return "<label>Handle or DID<input name=\"identifier\" autocomplete=\"username\" value=\"" +
         escape_html(identifier) +
         "\"></label>\n<label>Password<input name=\"password\" type=\"password\" "
         "autocomplete=\"current-password\" autofocus></label>\n<div class=\"acts\">\n<button "
         "name=\"decision\" value=\"allow\" class=\"main\">Allow</button>\n<button "
         "name=\"decision\" value=\"deny\">Deny</button>\n</div>\n</form>\n<p class=\"soft\">This "
         "is latchkey's sandbox: its accounts exist nowhere else.</p>\n";
}

}  // namespace

Response sign_in_page(const SignIn& sign_in, int status) {
  const std::string body =
      asked_for("An application asks to:", sign_in.scope, sign_in.client_id) +
      alert(sign_in.problem) + "<form method=\"post\" action=\"/oauth/authorize\">\n" +
      hidden("client_id", sign_in.client_id) + hidden("request_uri", sign_in.request_uri) +
      hidden("form_token", sign_in.form_token) + sign_in_fields(sign_in.identifier);
  return page(status, "Sign in to the sandbox", body, form_targets(sign_in.redirect_uri));
}

Response device_page(const DeviceSignIn& sign_in, int status) {
  const std::string body =
      "<p>Go on only if your device shows the code <strong>" + shown(sign_in.user_code) +
      "</strong>.</p>\n" + asked_for("It asks to:", sign_in.scope, sign_in.client_id) +
      alert(sign_in.problem) + "<form method=\"post\" action=\"/device\">\n" +
      hidden("user_code", sign_in.user_code) + hidden("form_token", sign_in.form_token) +
      sign_in_fields(sign_in.identifier);
  return page(status, "Sign in a device to the sandbox", body, "'self'");
}

Response user_code_page(std::string_view user_code, std::string_view problem, int status) {
  const std::string body =
      alert(problem) +
      "<form method=\"get\" action=\"/device\">\n<label>The code that your device shows<input "
      "name=\"user_code\" autocomplete=\"off\" autocapitalize=\"characters\" autofocus value=\"" +
      escape_html(printable(user_code, 64)) +
      "\"></label>\n<div class=\"acts\">\n<button class=\"main\">Go on</button>\n</div>\n"
      "</form>\n";
  return page(status, "Sign in a device", body, "'self'");
}

Response device_done_page(std::string_view outcome) {
  return page(200, outcome, "<p class=\"soft\">Go back to it; this page can be closed.</p>\n",
              "'none'");
}

Response error_page(int status, std::string_view problem, std::string_view detail) {
  Response response = page(status, "This login can't go on",
                           "<p>" + shown(problem) +
                               "</p>\n<p class=\"soft\">Go back to the application and begin "
                               "again.</p>\n",
                           "'none'");
  response.detail = detail;
  return response;
}

Response redirect_to(std::string url) {
  return {.status = 303,
          .content_type = "",
          .body = "",
          .headers = {{"Location", std::move(url)}, {"Cache-Control", "no-store"}}};
}

}  // namespace latchkey::sandbox
