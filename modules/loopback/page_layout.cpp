// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
module latchkey.loopback.page_layout;
import latchkey.loopback.page_style;

namespace latchkey {
namespace {

constexpr std::string_view kStyle = R"css(* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: flex; align-items: center; justify-content: center;
       padding: 1.25rem; background: var(--back); color: var(--text);
       font: 1.0625rem/1.55 system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { width: 100%; max-width: 32rem; padding: 2.5rem 2rem 2.25rem; border-radius: 1.25rem;
       background: var(--card); border: 1px solid var(--line);
       box-shadow: 0 1.25rem 3rem -1.5rem rgba(0, 0, 0, .25); text-align: center;
       overflow-wrap: anywhere; }
.mark { display: block; width: 4.5rem; height: 4.5rem; margin: 0 auto; padding: 1.125rem;
        border-radius: 50%; fill: none; stroke: currentColor; stroke-width: 3;
        stroke-linecap: round; stroke-linejoin: round; }
.success { color: var(--good); background: var(--good-back); }
.failure { color: var(--bad); background: var(--bad-back); }
.neutral { color: var(--calm); background: var(--calm-back); }
h1, p { text-wrap: balance; }
h1 { margin: 1.25rem 0 0; font-size: 1.625rem; line-height: 1.25; letter-spacing: -.01em; }
h2 { margin: 0 0 .5rem; font-size: .875rem; font-weight: 600; color: var(--soft); }
p { margin: .75rem 0 0; }
.soft { color: var(--soft); }
.soft strong { color: var(--text); }
.cause::first-letter { text-transform: uppercase; }
.person { display: flex; align-items: center; gap: .875rem; margin: 1.5rem auto;
          padding: .75rem 1rem; border: 1px solid var(--line); border-radius: .875rem;
          text-align: left; width: fit-content; max-width: 100%; }
.person span { display: block; }
.initials { flex: none; width: 2.75rem; height: 2.75rem; border-radius: 50%; line-height: 2.75rem;
            text-align: center; text-transform: uppercase; font-weight: 600; color: var(--good);
            background: var(--good-back); }
.who { min-width: 0; line-height: 1.4; }
.who .soft { font-size: .9375rem; }
section, details { margin-top: 1.75rem; padding-top: 1.25rem; border-top: 1px solid var(--line);
                   text-align: left; }
ul { display: flex; flex-wrap: wrap; gap: .5rem; margin: 0; padding: 0; list-style: none; }
li { padding: .125rem .625rem; border-radius: 1rem; background: var(--back);
     border: 1px solid var(--line); font-size: .875rem; }
summary { cursor: pointer; font-size: .875rem; font-weight: 600; color: var(--soft);
          border-radius: .25rem; }
summary:focus-visible { outline: 2px solid var(--good); outline-offset: 3px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .375rem 1.25rem;
     margin: .875rem 0 0; font-size: .9375rem; }
dt { color: var(--soft); }
dd { margin: 0; min-width: 0; }
@media (max-width: 26rem) {
  main { padding: 2rem 1.25rem 1.75rem; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd + dt { margin-top: .5rem; }
}
)css";

struct Look {
  std::string_view kind;  // a class of the style
  std::string_view role;
  std::string_view drawing;
};

Look look_of(PageMood mood) {
  switch (mood) {
    case PageMood::success:
      return {"success", "status", R"(<path d="M4 13l6 6L20 6"/>)"};
    case PageMood::failure:
      return {"failure", "alert", R"(<path d="M5 5l14 14M19 5L5 19"/>)"};
    case PageMood::neutral:
      return {"neutral", "status", R"(<path d="M4 12h.01M12 12h.01M20 12h.01"/>)"};
  }
  return {};
}

}  // namespace

std::string lay_out(const PageParts& parts) {
  const auto look = look_of(parts.mood);
  std::string out = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  out += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>";
  out += parts.title;
  out += "</title>\n<style>";
  out += page_palette();
  out += kStyle;
  out += "</style>\n</head>\n<body>\n<main>\n<svg class=\"mark ";
  out += look.kind;
  out += "\" viewBox=\"0 0 24 24\" aria-hidden=\"true\">";
  out += look.drawing;
  out += "</svg>\n<div role=\"";
  out += look.role;
  out += "\">\n<h1>";
  out += parts.title;
  out += "</h1>\n" + parts.said + "</div>\n" + parts.more + "</main>\n</body>\n</html>\n";
  return out;
}

}  // namespace latchkey
