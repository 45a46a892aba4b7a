// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
export module latchkey.loopback.pages;

// The pages that a browser shows after a login: self-contained (no outside assets), light and dark,
// readable on a phone.

export namespace latchkey {

/// `account`: handle or subject; `application`: who asked.
[[nodiscard]] std::string success_page(std::string_view account, std::string_view application);
/// `problem`: a message for people; escaped here.
[[nodiscard]] std::string failure_page(std::string_view problem, std::string_view application);
/// For a callback that belongs to no login of ours (a stale tab).
[[nodiscard]] std::string stray_page();
/// & < > " ' as entities.
[[nodiscard]] std::string escape_html(std::string_view text);

}  // namespace latchkey
