// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
export module latchkey.sandbox.metadata;

// What the authorization server says of itself.

export namespace latchkey::sandbox {

/// RFC 8414 §2 with all that the ATProto profile wants (C3): pushed requests are required there.
[[nodiscard]] std::string authorization_server_metadata(std::string_view issuer,
                                                        std::string_view pds);
/// OpenID Connect Discovery §3. Whether a client must push its requests is its own metadata's
/// matter.
[[nodiscard]] std::string openid_configuration(std::string_view issuer);

}  // namespace latchkey::sandbox
