// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
module latchkey.loopback.callback;

namespace latchkey {

HeldCallback::~HeldCallback() {}

void HeldCallback::answer(int status, std::string_view html) {
  answer(status, ResultPage{.html = std::string(html)});
}

}  // namespace latchkey
