// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <functional>
#include <map>
#include <string>
export module latchkey.examples.web_backend.site;
import latchkey;

// What the website is to the world: an origin, and an OAuth client. On one's own machine it is a
// client that needs nothing hosted; at a name of its own a confidential one, whose metadata
// document the website itself serves.

export namespace web_backend {

struct Site {
  std::string origin;         ///< as browsers see it, such as "https://app.example"
  std::string redirect_uri;   ///< where the authorization server sends the browser back
  std::string callback_path;  ///< the path of that
  latchkey::AtprotoClientIdentity client;
  std::map<std::string, std::string, std::less<>> documents{};  ///< public JSON, by path
};

/// `address`: http at 127.0.0.1 or [::1], where the website listens or a proxy before it. Throws
/// std::exception.
[[nodiscard]] Site development_site(const std::string& address);

struct Hosting {
  std::string origin;
  std::filesystem::path document;  ///< the client's metadata document
  std::filesystem::path keys;      ///< its private keys, a JWK Set that nobody else may read
};

/// The document's client_id and first redirect must be at the origin; so may be its jwks_uri.
/// Throws std::exception. Rules that the document breaks are left to AtprotoClient::create.
[[nodiscard]] Site hosted_site(const Hosting& hosting);

}  // namespace web_backend
