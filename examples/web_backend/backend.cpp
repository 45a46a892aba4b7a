// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
module latchkey.examples.web_backend.backend;
import latchkey;
import latchkey.examples.web_backend.http_server;
import latchkey.examples.web_backend.pages;
import latchkey.examples.web_backend.site;
import latchkey.examples.web_backend.time_limit;
import latchkey.examples.web_backend.visitors;

namespace web_backend {
namespace {

constexpr std::string_view kSessionCookie = "session";  // which visitor this browser is
constexpr std::string_view kLoginCookie = "login";      // which login this browser began
constexpr int kMonth = 30 * 24 * 3600;
constexpr int kTenMinutes = 600;
// Visitors name servers, which may be slow on purpose: so long a login may keep a thread. Below the
// minute for which proxies wait.
constexpr std::chrono::seconds kBeginLimit{15};
constexpr std::chrono::seconds kEndLimit{45};

std::string field(const latchkey::FormFields& form, std::string_view name) {
  const auto value = latchkey::form_value(form, name);
  return value && *value != nullptr ? **value : std::string();
}

bool is_page(std::string_view path) {
  return path == "/" || path == "/compose";
}

// A path of this site; anything else could send the browser elsewhere ("//evil.example").
std::string own_path(std::string path) {
  return is_page(path) ? path : "/";
}

int status_of(const latchkey::Error& error) {
  using enum latchkey::ErrorCode;
  switch (error.code) {
    case invalid_argument:
    case identity_not_found:
    case callback_invalid:
    case access_denied:
      return 400;
    case login_required:
    case session_dead:
    case refresh_interrupted:
      return 401;
    case cancelled:  // by a TimeLimit
      return 504;
    default:
      return 502;
  }
}

Response failure_page(const latchkey::Error& error, std::string_view link) {
  const int status = status_of(error);
  return problem_page(
      status, status == 504 ? "It took too long. Please try again later." : error.message, link);
}

}  // namespace

Backend::Backend(latchkey::AtprotoClient client, Site site, std::shared_ptr<Visitors> visitors)
    : client_(std::move(client)),
      site_(std::move(site)),
      is_https_(site_.origin.starts_with("https:")),
      visitors_(std::move(visitors)) {
  if (is_page(site_.callback_path) || site_.documents.contains(site_.callback_path)) {
    throw std::invalid_argument("the redirect " + latchkey::printable(site_.redirect_uri, 200) +
                                " leads to another page; give it a path such as /oauth/callback");
  }
}

Response Backend::answer(const Request& request) {
  // Another site's name that leads here (DNS rebinding) is not ours.
  if ("//" + std::string(request.header("Host")) != site_.origin.substr(site_.origin.find('/'))) {
    return problem_page(421, "There is no such site here.", "/");
  }
  if (request.method == "GET") return answer_get(request);
  if (request.method == "POST") return answer_post(request);
  return problem_page(405, "That is not done here.", "/");
}

Response Backend::answer_get(const Request& request) {
  if (request.path == site_.callback_path) return end_login(request);
  const auto document = site_.documents.find(request.path);
  if (document != site_.documents.end()) return json_document(document->second);
  if (!is_page(request.path)) return problem_page(404, "There is no such page.", "/");
  const auto visitor = visitor_of(request);
  if (!visitor) return login_page(request.path);
  return request.path == "/" ? home_page(*visitor) : compose_page(*visitor);
}

Response Backend::answer_post(const Request& request) {
  // Forms of other sites are refused (CSRF): browsers say where a form comes from.
  if (request.header("Origin") != site_.origin) {
    return problem_page(403, "This form came from another site.", "/");
  }
  const auto form = latchkey::form_decode(request.body);
  if (!form) return problem_page(400, "This form can't be read.", "/");
  if (request.path == "/login") return begin_login(*form);
  const auto visitor = visitor_of(request);
  if (!visitor) return redirect("/");
  if (request.path == "/compose") return post(*visitor, *form);
  if (request.path == "/logout") return log_out(*visitor);
  return problem_page(404, "There is no such page.", "/");
}

Response Backend::begin_login(const latchkey::FormFields& form) {
  const TimeLimit limit(kBeginLimit);
  const auto begun =
      client_.authorize(field(form, "who"), {.redirect_uri = site_.redirect_uri,
                                             .app_state = own_path(field(form, "return_to")),
                                             .stop = limit.token()});
  if (!begun) return failure_page(begun.error(), "/");
  Response response = redirect(begun->url.text());
  response.headers.emplace_back("Set-Cookie", cookie(kLoginCookie, begun->browser_binding.expose(),
                                                     site_.callback_path, kTenMinutes));
  return response;
}

Response Backend::end_login(const Request& request) {
  const TimeLimit limit(kEndLimit);
  const auto end = client_.callback(
      request.query, latchkey::SecretString(request.cookie(cookie_name(kLoginCookie))),
      limit.token());
  const std::string return_to = own_path(end.app_state);
  if (!end.session) return failure_page(end.session.error(), return_to);
  // A new id at every login: one that somebody planted before is worth nothing.
  visitors_->forget(request.cookie(cookie_name(kSessionCookie)));
  const auto id = visitors_->welcome({.did = end.session->subject, .handle = end.session->handle});
  Response response = redirect(return_to);
  response.headers.emplace_back("Set-Cookie", cookie(kSessionCookie, id.expose(), "/", kMonth));
  response.headers.emplace_back("Set-Cookie", cookie(kLoginCookie, "", site_.callback_path, 0));
  return response;
}

Response Backend::post(const Visitor& visitor, const latchkey::FormFields& form) {
  const nlohmann::json record{
      {"text", field(form, "text")},
      {"createdAt", latchkey::format_rfc3339(latchkey::SystemClock{}.now())}};
  const auto made = client_.pds(visitor.did).create_record("app.bsky.feed.post", record.dump());
  if (made) return posted_page(made->uri);
  // They must log in again.
  if (status_of(made.error()) == 401) visitors_->forget_account(visitor.did);
  return failure_page(made.error(), "/compose");
}

Response Backend::log_out(const Visitor& visitor) {
  visitors_->forget_account(visitor.did);
  const auto ended = client_.logout(visitor.did);
  if (!ended) return failure_page(ended.error(), "/");
  Response response = redirect("/");
  response.headers.emplace_back("Set-Cookie", cookie(kSessionCookie, "", "/", 0));
  return response;
}

std::optional<Visitor> Backend::visitor_of(const Request& request) const {
  return visitors_->find(request.cookie(cookie_name(kSessionCookie)));
}

// "__Host-": browsers take such a cookie from this very host alone, so that no neighbour in its
// domain can plant one. It must be Secure, and for all paths.
std::string Backend::cookie_name(std::string_view name) const {
  return (is_https_ ? "__Host-" : "") + std::string(name);
}

std::string Backend::cookie(std::string_view name, std::string_view value, std::string_view path,
                            int seconds) const {
  std::string text = cookie_name(name);
  text.append("=").append(value).append("; Path=").append(is_https_ ? "/" : path);
  text.append("; Max-Age=").append(std::to_string(seconds)).append("; HttpOnly; SameSite=Lax");
  if (is_https_) text += "; Secure";
  return text;
}

}  // namespace web_backend
