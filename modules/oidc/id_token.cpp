// SPDX-License-Identifier: MIT
module;
#include <stop_token>
module latchkey.oidc.id_token;

namespace latchkey {

IdTokenValidator::~IdTokenValidator() = default;

void IdTokenValidator::prepare(std::stop_token) {}

bool IdTokenValidator::checks_signature() const noexcept {
  return true;
}

}  // namespace latchkey
