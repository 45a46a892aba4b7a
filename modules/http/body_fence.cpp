// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <exception>
#include <span>
#include <string>
module latchkey.http.body_fence;
import latchkey.core.encoding;
import latchkey.core.error;

namespace latchkey {
namespace {

std::string words_of(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& e) {
    return printable(e.what(), 200);
  } catch (...) {
    return "something unknown";
  }
}

}  // namespace

Result<std::size_t> read_fenced(const BodyRead& read, std::span<unsigned char> to) {
  try {
    auto some = read(to);
    if (some && *some > to.size()) {
      return make_error(ErrorCode::io, "body.overrun",
                        "cannot send the body: its reader says that it gave " +
                            std::to_string(*some) + " bytes where " + std::to_string(to.size()) +
                            " fit; it must stay inside of what it is handed");
    }
    return some;
  } catch (...) {
    return thrown_by_body(std::current_exception());
  }
}

Error thrown_by_body(const std::exception_ptr& thrown) {
  return make_error(ErrorCode::io, "body.threw",
                    "cannot send the body: its reader threw " + words_of(thrown) +
                        "; report such failures as an error");
}

}  // namespace latchkey
