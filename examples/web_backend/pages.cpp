// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <utility>
module latchkey.examples.web_backend.pages;
import latchkey.core;
import latchkey.examples.web_backend.http_server;
import latchkey.examples.web_backend.visitors;
import latchkey.loopback.pages;

namespace web_backend {
namespace {

std::string shown(std::string_view text) {
  return latchkey::escape_html(latchkey::printable(text, 2000));
}

std::string link_to(std::string_view path, std::string_view text) {
  return "<p><a href=\"" + latchkey::escape_html(path) + "\">" + std::string(text) + "</a></p>\n";
}

}  // namespace

Response page(int status, std::string_view title, std::string_view body_html) {
  std::string html = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>";
  html.append(shown(title)).append("</title></head>\n<body><h1>");
  html.append(shown(title)).append("</h1>\n").append(body_html).append("</body></html>\n");
  return {.status = status,
          .headers = {{"Content-Type", "text/html; charset=utf-8"},
                      {"Cache-Control", "no-store"},
                      // No form-action: browsers apply it to the redirect after a form too, and the
                      // login form ends at an authorization server that nobody knows beforehand.
                      {"Content-Security-Policy",
                       "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"},
                      // Not no-referrer: the browser would hide the Origin of our own forms.
                      {"Referrer-Policy", "same-origin"},
                      {"X-Content-Type-Options", "nosniff"}},
          .body = std::move(html)};
}

Response login_page(std::string_view return_to) {
  return page(200, "Log in",
              "<form method=\"post\" action=\"/login\">\n"
              "<input type=\"hidden\" name=\"return_to\" value=\"" +
                  latchkey::escape_html(return_to) +
                  "\">\n<p><label>Handle, DID or server "
                  "<input name=\"who\" required maxlength=\"2048\" autocomplete=\"username\">"
                  "</label></p>\n<p><button>Log in</button></p>\n</form>\n");
}

Response home_page(const Visitor& visitor) {
  return page(
      200, "Hello",
      "<p>You are <b id=\"handle\">" + shown(visitor.handle) + "</b> (<span id=\"did\">" +
          shown(visitor.did) + "</span>).</p>\n" + link_to("/compose", "Write a post") +
          "<form method=\"post\" action=\"/logout\"><p><button>Log out</button></p></form>\n");
}

Response compose_page(const Visitor& visitor) {
  return page(200, "Write a post",
              "<form method=\"post\" action=\"/compose\">\n<p><label>As " + shown(visitor.handle) +
                  " <textarea name=\"text\" required maxlength=\"300\"></textarea></label></p>\n"
                  "<p><button>Post</button></p>\n</form>\n" +
                  link_to("/", "Back"));
}

Response posted_page(std::string_view uri) {
  return page(200, "Posted",
              "<p>It is <code id=\"uri\">" + shown(uri) + "</code>.</p>\n" + link_to("/", "Back"));
}

Response problem_page(int status, std::string_view problem, std::string_view link) {
  return page(status, "That did not work",
              "<p id=\"problem\">" + shown(problem) + "</p>\n" + link_to(link, "Go on"));
}

Response json_document(std::string_view json) {
  return {.status = 200,
          .headers = {{"Content-Type", "application/json"},
                      {"Cache-Control", "no-cache"},  // keys are rotated
                      {"X-Content-Type-Options", "nosniff"}},
          .body = std::string(json)};
}

Response redirect(std::string_view to) {
  return {.status = 303,
          .headers = {{"Location", std::string(to)},
                      {"Cache-Control", "no-store"},
                      {"Referrer-Policy", "same-origin"}}};
}

}  // namespace web_backend
