// SPDX-License-Identifier: MIT
module;
#include <string_view>
export module latchkey.loopback.page_style;

// The colours of the built-in pages, for pages that shall look like them.

export namespace latchkey {

/// CSS custom properties of `:root` for light and dark: --back, --card, --line; --text and --soft
/// for text on --back and --card; --good, --bad and --calm for text on those two and on
/// --good-back,
/// --bad-back and --calm-back. All these pairs have a contrast of at least 4.5.
[[nodiscard]] std::string_view page_palette() noexcept;

}  // namespace latchkey
