// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <optional>
#include <string_view>
module latchkey.examples.web_backend.visitors;
import latchkey.core;

namespace web_backend {
namespace {

constexpr std::size_t kIdBytes = 32;

}  // namespace

Visitors::~Visitors() = default;

latchkey::SecretString Visitors::welcome(const Visitor& visitor) {
  latchkey::SecretString id = latchkey::random_secret_token(random_, kIdBytes);
  add(latchkey::sha256_base64url(id.expose()), visitor);
  return id;
}

std::optional<Visitor> Visitors::find(std::string_view id) {
  if (id.empty()) return std::nullopt;
  return look_up(latchkey::sha256_base64url(id));
}

void Visitors::forget(std::string_view id) {
  if (!id.empty()) remove(latchkey::sha256_base64url(id));
}

}  // namespace web_backend
