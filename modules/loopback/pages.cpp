// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <optional>
#include <string>
#include <string_view>
module latchkey.loopback.pages;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.loopback.callback;

namespace latchkey {
namespace {

constexpr std::string_view kStyle = R"css(
:root { color-scheme: light dark; --back: #f4f4f1; --card: #ffffff; --text: #1c1d1f; --soft: #5b5f66;
        --good: #1a7f4b; --bad: #b3261e; --calm: #5b5f66; }
@media (prefers-color-scheme: dark) {
  :root { --back: #141517; --card: #1f2124; --text: #ececea; --soft: #a4a8ae;
          --good: #5fd196; --bad: #ff8a80; --calm: #a4a8ae; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: flex; align-items: center; justify-content: center;
       padding: 1.5rem; background: var(--back); color: var(--text);
       font: 1.125rem/1.55 system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { width: 100%; max-width: 34rem; padding: 2.5rem 2rem; border-radius: 1rem;
       background: var(--card); box-shadow: 0 1px 3px rgba(0, 0, 0, .2); text-align: center;
       overflow-wrap: anywhere; }
.mark { width: 4rem; height: 4rem; fill: none; stroke: currentColor; stroke-width: 4;
        stroke-linecap: round; stroke-linejoin: round; }
.good { color: var(--good); } .bad { color: var(--bad); } .calm { color: var(--calm); }
h1 { margin: 1rem 0 .5rem; font-size: 1.75rem; line-height: 1.25; }
p { margin: .75rem 0 0; }
.soft { color: var(--soft); font-size: 1rem; }
)css";

constexpr std::string_view kTick = R"(<path d="M14 25l7 7 13-15"/>)";
constexpr std::string_view kCross = R"(<path d="M17 17l14 14M31 17L17 31"/>)";
constexpr std::string_view kDots = R"(<path d="M15 24h.01M24 24h.01M33 24h.01"/>)";

struct Look {
  std::string_view kind;  // a class of the style
  std::string_view drawing;
};

// `body` is HTML.
std::string page(const Look& look, std::string_view title, const std::string& body) {
  std::string out = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  out += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>";
  out += title;
  out += "</title>\n<style>";
  out += kStyle;
  out += "</style>\n</head>\n<body>\n<main>\n<svg class=\"mark ";
  out += look.kind;
  out += "\" viewBox=\"0 0 48 48\" aria-hidden=\"true\"><circle cx=\"24\" cy=\"24\" r=\"21\"/>";
  out += look.drawing;
  out += "</svg>\n<h1>";
  out += title;
  out += "</h1>\n" + body + "</main>\n</body>\n</html>\n";
  return out;
}

std::string shown(std::string_view text) {
  return escape_html(printable(text));
}

std::string application_name(std::string_view application) {
  return application.empty() ? "the application" : "<strong>" + shown(application) + "</strong>";
}

// A login is decided by now; what a program's own page does wrong must not undo it.
template <class Context, class BuiltIn>
ResultPage chosen(const std::function<ResultPage(const Context&)>& render,
                  const std::optional<ResultPage>& fixed, const Context& context,
                  const BuiltIn& built_in) {
  if (render) {
    try {
      if (auto page = render(context); !page.html.empty()) return page;
    } catch (...) {
    }
  }
  if (fixed && !fixed->html.empty()) return *fixed;
  return {.html = built_in()};
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string success_page(const SuccessContext& context) {
  std::string body;
  if (!context.account.empty()) {
    body += "<p>as <strong>" + shown(context.account) + "</strong></p>\n";
  }
  body += "<p class=\"soft\">You can close this tab and go back to " +
          application_name(context.application) + ".</p>\n";
  return page({"good", kTick}, "You are logged in", body);
}

std::string failure_page(const FailureContext& context) {
  return failure_page(context.error.message, context.application);
}

std::string success_page(std::string_view account, std::string_view application) {
  return success_page(
      SuccessContext{.account = std::string(account), .application = std::string(application)});
}

std::string failure_page(std::string_view problem, std::string_view application) {
  std::string body;
  if (!problem.empty()) body += "<p>" + shown(problem) + "</p>\n";
  body += "<p class=\"soft\">You can close this tab. Go back to " + application_name(application) +
          " to try again.</p>\n";
  return page({"bad", kCross}, "The login did not work", body);
}

ResultPage render_success(const ResultPages& pages, const SuccessContext& context) {
  return chosen(pages.success, pages.fixed_success, context, [&] { return success_page(context); });
}

ResultPage render_failure(const ResultPages& pages, const FailureContext& context) {
  return chosen(pages.failure, pages.fixed_failure, context, [&] { return failure_page(context); });
}

std::string stray_page() {
  return page({"calm", kDots}, "No login is waiting here",
              "<p>This page belongs to a login that has ended or was begun elsewhere.</p>\n"
              "<p class=\"soft\">You can close this tab. If you were logging in, go back to the "
              "application and begin again.</p>\n");
}

}  // namespace latchkey
