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
        --line: #83878e; --act: #1f5fbf; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --back: #141517; --card: #1f2124; --text: #ececea; --soft: #a4a8ae; --line: #7c8189;
          --act: #7fb0ff; --bad: #ff8a80; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; min-height: 100dvh; display: flex; align-items: center;
       justify-content: center; padding: 1rem; background: var(--back); color: var(--text);
       font: 1.0625rem/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { width: 100%; max-width: 28rem; padding: 1.5rem; border-radius: 1rem; background: var(--card);
       box-shadow: 0 1px 3px rgba(0, 0, 0, .2); overflow-wrap: anywhere; }
@media (min-width: 30rem) { main { padding: 2rem; } }
h1 { margin: 0; font-size: 1.5rem; line-height: 1.25; }
p, ul, details { margin: .75rem 0 0; } ul { padding-left: 1.25rem; }
h1 + .soft { margin-top: .25rem; }
code { font: .875em/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
.soft, details, label { color: var(--soft); font-size: .9375rem; }
.bad { color: var(--bad); font-weight: 600; }
summary { cursor: pointer; }
label { display: block; margin-top: 1rem; }
input { width: 100%; margin-top: .25rem; padding: .6rem .75rem; font: inherit; font-size: 1.0625rem;
        color: var(--text); background: transparent; border: 1px solid var(--line);
        border-radius: .5rem; }
:focus-visible { outline: 2px solid var(--act); outline-offset: 2px; }
.acts { display: flex; gap: .75rem; margin: 1.5rem 0; }
button { flex: 1; padding: .65rem; font: inherit; border-radius: .5rem; cursor: pointer;
         border: 1px solid var(--act); background: transparent; color: var(--act); }
button.main { background: var(--act); color: var(--card); font-weight: 600; }
)css";

constexpr std::string_view kForTests =
    "<p class=\"soft\">For tests: its accounts exist nowhere else.</p>\n";

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

std::string code(std::string_view text) {
  return "<code>" + shown(text) + "</code>";
}

// One permission in words, or as it is written; HTML.
std::string meaning(std::string_view token) {
  if (token == "atproto") return "to know which account is yours";
  if (token == "transition:generic") return "to read and change everything in your repository";
  if (token == "transition:email") return "to see your e-mail address";
  if (token == "transition:chat.bsky") return "to read and write your chats";
  if (token == "openid") return "to know who you are";
  if (token == "profile") return "to see your handle";
  if (token == "email") return "to see your e-mail address";
  if (token == "offline_access") return "to stay signed in";
  return code(token);
}

std::string hidden(std::string_view name, std::string_view value) {
  return "<input type=\"hidden\" name=\"" + std::string(name) + "\" value=\"" + escape_html(value) +
         "\">\n";
}

std::string input(const std::string& attributes, bool focus) {
  return "<input " + attributes + (focus ? " autofocus>" : ">");
}

std::string alert(std::string_view problem) {
  if (problem.empty()) return {};
  return "<p class=\"bad\" role=\"alert\">" + shown(problem) + "</p>\n";
}

std::string asked_for(std::string_view lead, std::string_view scope) {
  std::string body = "<p>" + std::string(lead) + "</p>\n<ul>\n";
  if (const auto parsed = ScopeSet::parse(scope)) {
    for (const auto& token : parsed->tokens()) body += "<li>" + meaning(token) + "</li>\n";
  }
  return body + "</ul>\n";
}

// The rest of a form, from the handle to the buttons.
std::string sign_in_fields(std::string_view identifier) {
  const bool named = !identifier.empty();
  return "<label>Handle or DID" +
         input(
             "name=\"identifier\" autocomplete=\"username\" autocapitalize=\"none\" "
             "spellcheck=\"false\" value=\"" +
                 escape_html(identifier) + '"',
             !named) +
         "</label>\n<label>Password" +
         input("name=\"password\" type=\"password\" autocomplete=\"current-password\"", named) +
         "</label>\n<div class=\"acts\">\n<button name=\"decision\" value=\"allow\" "
         "class=\"main\">Allow</button>\n<button name=\"decision\" value=\"deny\">Deny</button>\n"
         "</div>\n</form>\n";
}

std::string which_program(const std::string& facts) {
  return "<details><summary>Which program is it?</summary>\n" + facts + "</details>\n";
}

}  // namespace

Response sign_in_page(const SignIn& sign_in, int status) {
  const std::string body =
      std::string(kForTests) + asked_for("An application asks for permission:", sign_in.scope) +
      "<form method=\"post\" action=\"/oauth/authorize\">\n" +
      hidden("client_id", sign_in.client_id) + hidden("request_uri", sign_in.request_uri) +
      hidden("form_token", sign_in.form_token) + alert(sign_in.problem) +
      sign_in_fields(sign_in.identifier) +
      which_program("<p>It calls itself " + code(sign_in.client_id) +
                    "</p>\n<p>The answer goes to " + code(sign_in.redirect_uri) + "</p>\n");
  return page(status, "Sign in to the sandbox", body, form_targets(sign_in.redirect_uri));
}

Response device_page(const DeviceSignIn& sign_in, int status) {
  const std::string body =
      std::string(kForTests) + "<p>Go on only if your device shows the code " +
      code(sign_in.user_code) + "</p>\n" + asked_for("It asks for permission:", sign_in.scope) +
      "<form method=\"post\" action=\"/device\">\n" + hidden("user_code", sign_in.user_code) +
      hidden("form_token", sign_in.form_token) + alert(sign_in.problem) +
      sign_in_fields(sign_in.identifier) +
      which_program("<p>It calls itself " + code(sign_in.client_id) + "</p>\n");
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
