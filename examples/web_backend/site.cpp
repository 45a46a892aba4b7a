// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
module latchkey.examples.web_backend.site;
import latchkey;

namespace web_backend {
namespace {

constexpr std::string_view kCallbackPath = "/oauth/callback";
constexpr std::size_t kMaxFile = std::size_t{512} * 1024;

latchkey::SecretBytes contents_of(const std::filesystem::path& file) {
  auto bytes = latchkey::posix_file_system()->read(file, kMaxFile).value();
  if (!bytes) throw std::runtime_error("there is no file " + file.string());
  return *std::move(bytes);
}

std::shared_ptr<latchkey::ClientKeys> keys_in(const std::filesystem::path& file) {
  latchkey::posix_file_system()->check_private(file).value();
  return latchkey::ClientKeys::from_jwk_set(latchkey::SecretString(contents_of(file)),
                                            std::make_shared<latchkey::SystemRandom>())
      .value();
}

// The path of one of the document's URLs, which this website answers for.
std::string own_path_of(std::string_view name, const std::string& text, const std::string& origin) {
  const auto url = latchkey::Url::parse(text);
  if (url && url->origin() == origin) return url->path();
  throw std::runtime_error("the document's " + std::string(name) + " is not at " + origin + ": " +
                           latchkey::printable(text, 200));
}

}  // namespace

Site development_site(const std::string& address) {
  const std::string origin =
      latchkey::parse_origin(address, latchkey::HttpRule::allow_http_for_loopback).value().origin();
  return {.origin = origin,
          .redirect_uri = origin + std::string(kCallbackPath),
          .callback_path = std::string(kCallbackPath),
          .client = latchkey::loopback_client("atproto transition:generic", kCallbackPath)};
}

Site hosted_site(const Hosting& hosting) {
  const std::string origin =
      latchkey::parse_origin(hosting.origin, latchkey::HttpRule::https_only).value().origin();
  const auto document =
      latchkey::parse_client_document(latchkey::as_text(contents_of(hosting.document).expose()))
          .value();
  if (document.redirect_uris.empty()) throw std::runtime_error("the document has no redirect_uris");
  const auto keys = keys_in(hosting.keys);
  const std::string& redirect_uri = document.redirect_uris.front();
  Site site{.origin = origin,
            .redirect_uri = redirect_uri,
            .callback_path = own_path_of("first redirect", redirect_uri, origin),
            .client = latchkey::confidential_client(document, keys)};
  // Not the file itself: this is what create() checks, and has no members that latchkey ignores.
  site.documents.emplace(own_path_of("client_id", document.client_id, origin),
                         latchkey::build_client_document(document));
  // Keys may be published elsewhere too, or in the document.
  const auto jwks = latchkey::Url::parse(document.jwks_uri);
  if (jwks && jwks->origin() == origin) {
    site.documents.emplace(jwks->path(), keys->public_jwk_set());
  }
  return site;
}

}  // namespace web_backend
