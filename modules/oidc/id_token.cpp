// SPDX-License-Identifier: MIT
module latchkey.oidc.id_token;

namespace latchkey {

IdTokenValidator::~IdTokenValidator() = default;

bool IdTokenValidator::checks_signature() const noexcept {
  return true;
}

}  // namespace latchkey
