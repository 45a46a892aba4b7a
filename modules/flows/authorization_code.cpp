// SPDX-License-Identifier: MIT
module;
#include <string_view>
module latchkey.flows.authorization_code;

namespace latchkey {

std::string_view to_string(Scope scope) noexcept {
  switch (scope) {
    case Scope::profile:
      return "profile";
    case Scope::email:
      return "email";
    case Scope::address:
      return "address";
    case Scope::phone:
      return "phone";
    case Scope::offline_access:
      return "offline_access";
  }
  return {};
}

}  // namespace latchkey
