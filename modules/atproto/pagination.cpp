// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <functional>
#include <string>
#include <unordered_set>
module latchkey.atproto.pagination;
import latchkey.core.error;

namespace latchkey {
namespace {

constexpr std::size_t kMostEmptyPages = 100;
constexpr std::size_t kLongestCursor = 8 * 1024;  // it goes back in a request's URL

}  // namespace

Result<void> PageGuard::saw(const std::string& cursor, std::size_t items) {
  empty_ = items == 0 ? empty_ + 1 : 0;
  if (cursor.size() > kLongestCursor) {
    return make_error(ErrorCode::invalid_response, "page.cursor_long",
                      "cannot list everything: the server gave a cursor of " +
                          std::to_string(cursor.size()) +
                          " bytes, which no request has room for; tell its operator");
  }
  if (!cursor.empty() && !cursors_.insert(std::hash<std::string>{}(cursor)).second) {
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
