// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <string>
#include <unordered_set>
module latchkey.atproto.pagination;
import latchkey.core.error;

namespace latchkey {
namespace {

constexpr std::size_t kMostEmptyPages = 100;

}  // namespace

Result<void> PageGuard::saw(const std::string& cursor, std::size_t items) {
  empty_ = items == 0 ? empty_ + 1 : 0;
  if (!cursor.empty() && !cursors_.insert(cursor).second) {
    return make_error(ErrorCode::invalid_response, "page.cursor_again",
                      "cannot list everything: the server gave a cursor that it had given before, "
                      "and would go round for ever; tell its operator");
  }
  if (empty_ > kMostEmptyPages) {
    return make_error(ErrorCode::invalid_response, "page.empty_pages",
                      "cannot list everything: the server goes on giving pages with nothing in "
                      "them; tell its operator");
  }
  return {};
}

}  // namespace latchkey
