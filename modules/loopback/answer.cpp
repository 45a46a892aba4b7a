// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <string>
#include <string_view>
module latchkey.loopback.answer;
import latchkey.loopback.callback;
import latchkey.loopback.pages;

namespace latchkey {
namespace {

std::string_view reason_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    default:
      return "";  // RFC 9112 §4: may be empty
  }
}

std::string_view safe_policy(std::string_view policy) {
  const bool safe = !policy.empty() && std::all_of(policy.begin(), policy.end(),
                                                   [](char c) { return c >= ' ' && c <= '~'; });
  return safe ? policy : kSelfContainedPolicy;
}

}  // namespace

std::string http_answer(int status, const ResultPage& page) {
  if (status < 200 || status > 599) status = 500;
  std::string out = "HTTP/1.1 " + std::to_string(status) + ' ';
  out += reason_of(status);
  out +=
      "\r\nContent-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n"
      "Content-Security-Policy: ";
  out += safe_policy(page.policy);
  out +=
      "\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n"
      "X-Frame-Options: DENY\r\n";
  if (status == 405) out += "Allow: GET\r\n";
  out += "Connection: close\r\nContent-Length: " + std::to_string(page.html.size()) + "\r\n\r\n";
  return out + page.html;
}

ResultPage plain_page(std::string_view method, std::string_view text) {
  if (method == "HEAD") return {.html = ""};
  const auto escaped = escape_html(text);
  return {.html = "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>" + escaped +
                  "</title><p>" + escaped + "</p></html>\n"};
}

}  // namespace latchkey
