// SPDX-License-Identifier: MIT
module latchkey.oidc.id_token;

namespace latchkey {

IdTokenValidator::~IdTokenValidator() = default;

}  // namespace latchkey
