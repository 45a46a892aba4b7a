// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
module latchkey.loopback.pages;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.loopback.callback;
import latchkey.loopback.page_layout;

namespace latchkey {
namespace {

constexpr std::size_t kMaxScopes = 40;
constexpr std::size_t kMaxScope = 120;

// Text of others: it cannot become markup, nor change the direction of what stands around it.
std::string shown(std::string_view text, std::size_t max = 512) {
  return "<bdi>" + escape_html(printable(text, max)) + "</bdi>";
}

std::string strong(std::string_view text) {
  return "<strong>" + shown(text) + "</strong>";
}

std::string application_name(std::string_view application) {
  return application.empty() ? "the application" : strong(application);
}

std::string_view first_character(std::string_view utf8) {
  std::size_t size = std::min<std::size_t>(utf8.size(), 1);
  while (size < utf8.size() && (static_cast<unsigned char>(utf8[size]) & 0xC0) == 0x80) ++size;
  return utf8.substr(0, size);
}

// Of the first and the last word. In place of a picture, which would have to be fetched.
std::string initials(std::string_view name) {
  const std::string text = printable(name);
  std::string_view words = text;
  while (words.starts_with(' ')) words.remove_prefix(1);
  while (words.ends_with(' ')) words.remove_suffix(1);
  std::string out(first_character(words));
  if (const auto space = words.rfind(' '); space != std::string_view::npos) {
    out += first_character(words.substr(space + 1));
  }
  return escape_html(out);
}

// A long address breaks at its @ first.
std::string breakable(std::string html) {
  if (const auto at = html.find('@'); at != std::string::npos) html.insert(at, "<wbr>");
  return html;
}

std::string person(const SuccessContext& context) {
  const bool named = !context.name.empty();
  if (!named && context.email.empty()) {
    return context.account.empty() ? "" : "<p>as " + strong(context.account) + "</p>\n";
  }
  std::string out = "<div class=\"person\">\n";
  if (named) {
    out += "<span class=\"initials\" aria-hidden=\"true\">" + initials(context.name) + "</span>\n";
  }
  out += "<div class=\"who\">";
  if (named) out += "<span>" + strong(context.name) + "</span>";
  const auto& account = context.email.empty() ? context.account : context.email;
  if (!account.empty()) out += "<span class=\"soft\">" + breakable(shown(account)) + "</span>";
  return out + "</div>\n</div>\n";
}

std::string scopes(const std::vector<std::string>& all) {
  if (all.empty()) return {};
  std::string out = "<section>\n<h2>Granted permissions</h2>\n<ul>\n";
  for (std::size_t i = 0; i < std::min(all.size(), kMaxScopes); ++i) {
    out += "<li>" + shown(all[i], kMaxScope) + "</li>\n";
  }
  if (all.size() > kMaxScopes) {
    out += "<li>and " + std::to_string(all.size() - kMaxScopes) + " more</li>\n";
  }
  return out + "</ul>\n</section>\n";
}

std::string counted(std::chrono::minutes::rep count, std::string_view unit) {
  return std::to_string(count) + ' ' + std::string(unit) + (count == 1 ? "" : "s");
}

// "in 59 seconds", "in 12 minutes", "in 1 hour 30 minutes", "in 3 days".
std::string time_left(const std::optional<Duration>& time) {
  using namespace std::chrono;
  if (!time) return "the server did not say when";
  if (*time <= Duration::zero()) return "now";
  if (*time < 1min) return "in " + counted(ceil<seconds>(*time).count(), "second");
  const auto whole = floor<minutes>(*time).count();
  if (whole < 60) return "in " + counted(whole, "minute");
  if (whole >= 2 * 24 * 60) return "in " + counted(whole / (24 * 60), "day");
  const auto rest = whole % 60;
  return "in " + counted(whole / 60, "hour") + (rest == 0 ? "" : ' ' + counted(rest, "minute"));
}

std::string row(std::string_view name, const std::string& html) {
  return "<dt>" + std::string(name) + "</dt><dd>" + html + "</dd>\n";
}

std::string details(const std::string& rows) {
  if (rows.empty()) return {};
  return "<details>\n<summary>Details</summary>\n<dl>\n" + rows + "</dl>\n</details>\n";
}

std::string success_details(const SuccessContext& context) {
  std::string rows;
  if (!context.subject.empty()) rows += row("Account id", shown(context.subject));
  if (context.identity != IdentityCheck::none) {
    const bool checked = context.identity == IdentityCheck::validated;
    rows += row("Identity", checked ? "checked: the server signed it" : "not checked");
  }
  if (!context.email.empty()) {
    rows += row("E-mail", shown(context.email) +
                              (context.email_verified ? " (verified)" : " (not verified)"));
  }
  if (context.expires_in || context.has_refresh_token) {
    rows += row("Access ends", time_left(context.expires_in));
  }
  if (context.has_refresh_token) {
    rows += row("Refresh token", *context.has_refresh_token ? "yes: it goes on without a new login"
                                                            : "no: log in again when access ends");
  }
  return details(rows);
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

std::string failure(std::string_view problem, std::string_view application,
                    const std::string& more) {
  std::string said;
  if (!problem.empty()) said += "<p class=\"cause\">" + shown(problem) + "</p>\n";
  said += "<p class=\"soft\">You can close this tab. Go back to " + application_name(application) +
          " to try again.</p>\n";
  return lay_out(
      {.mood = PageMood::failure, .title = "The login did not work", .said = said, .more = more});
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
  return lay_out({.mood = PageMood::success,
                  .title = "You are logged in",
                  .said = person(context) +
                          "<p class=\"soft\">You can close this tab and go back to " +
                          application_name(context.application) + ".</p>\n",
                  .more = scopes(context.scopes) + success_details(context)});
}

std::string failure_page(const FailureContext& context) {
  const auto& error = context.error;
  return failure(
      error.message, context.application,
      details(row("Kind", shown(to_string(error.code))) + row("Cause", shown(error.detail))));
}

std::string success_page(std::string_view account, std::string_view application) {
  return success_page(
      SuccessContext{.account = std::string(account), .application = std::string(application)});
}

std::string failure_page(std::string_view problem, std::string_view application) {
  return failure(problem, application, {});
}

std::string stray_page() {
  return lay_out({.mood = PageMood::neutral,
                  .title = "No login is waiting here",
                  .said =
                      "<p>This page belongs to a login that has ended or was begun elsewhere.</p>\n"
                      "<p class=\"soft\">You can close this tab. If you were logging in, go back "
                      "to the application and begin again.</p>\n",
                  .more = {}});
}

ResultPage render_success(const ResultPages& pages, const SuccessContext& context) {
  return chosen(pages.success, pages.fixed_success, context, [&] { return success_page(context); });
}

ResultPage render_failure(const ResultPages& pages, const FailureContext& context) {
  return chosen(pages.failure, pages.fixed_failure, context, [&] { return failure_page(context); });
}

}  // namespace latchkey
