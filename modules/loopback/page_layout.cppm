// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
export module latchkey.loopback.page_layout;

// What the built-in pages have in common: one card on a quiet ground, without a script or anything
// from elsewhere. For latchkey.loopback.pages only.

export namespace latchkey {

/// What the page is about, by its mark and colour; a screen reader hears a failure at once.
enum class PageMood { success, failure, neutral };

struct PageParts {
  PageMood mood{};
  std::string_view title;  ///< text of our own
  std::string said;        ///< HTML below the title: what a person should know
  std::string more;        ///< HTML below that: what a person can look at
};

/// The whole document.
[[nodiscard]] std::string lay_out(const PageParts& parts);

}  // namespace latchkey
