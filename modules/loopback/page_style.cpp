// SPDX-License-Identifier: MIT
module;
#include <string_view>
module latchkey.loopback.page_style;

namespace latchkey {

std::string_view page_palette() noexcept {
  return R"css(
:root { color-scheme: light dark; --back: #f3f3ef; --card: #ffffff; --line: #deded7; --text: #1d1e20;
        --soft: #5a5e65; --good: #17764a; --good-back: #e4f4eb; --bad: #b3261e; --bad-back: #fbe9e7;
        --calm: #5a5e65; --calm-back: #ecece7; }
@media (prefers-color-scheme: dark) {
  :root { --back: #131416; --card: #1d1f22; --line: #34373c; --text: #ececea; --soft: #a7abb2;
          --good: #63d49a; --good-back: #17301f; --bad: #ff9086; --bad-back: #3a1c1a;
          --calm: #a7abb2; --calm-back: #292c30; }
}
)css";
}

}  // namespace latchkey
