// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
export module latchkey.loopback.answer;
import latchkey.loopback.callback;

// The bytes of the receiver's HTTP answers, each with the headers that protect a page whose address
// holds a code: not kept, not framed, nothing told to others. For the receiver only.

export namespace latchkey {

/// A whole HTTP/1.1 answer that closes the connection. A status outside 200 to 599 becomes 500.
[[nodiscard]] std::string http_answer(int status, const ResultPage& page);
/// A page that only says this; empty for HEAD.
[[nodiscard]] ResultPage plain_page(std::string_view method, std::string_view text);

}  // namespace latchkey
