// SPDX-License-Identifier: MIT
module;
#include <sodium.h>
#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstring>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
module latchkey.core.secret;

namespace latchkey {

SecretBytes::SecretBytes(std::size_t size) : size_(size), capacity_(size) {
  if (size == 0) return;
  data_ = new unsigned char[size]();
}

SecretBytes::SecretBytes(std::span<const unsigned char> bytes) : SecretBytes(bytes.size()) {
  if (!bytes.empty()) std::memcpy(data_, bytes.data(), bytes.size());
}

SecretBytes::SecretBytes(SecretBytes&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      capacity_(std::exchange(other.capacity_, 0)) {}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  if (this == &other) return *this;
  wipe();
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  capacity_ = std::exchange(other.capacity_, 0);
  return *this;
}

SecretBytes::~SecretBytes() {
  wipe();
}

void SecretBytes::wipe() noexcept {
  if (data_ == nullptr) return;
  sodium_memzero(data_, capacity_);
  delete[] std::exchange(data_, nullptr);
  size_ = capacity_ = 0;
}

SecretBytes SecretBytes::clone() const {
  return SecretBytes(expose());
}

void SecretBytes::truncate(std::size_t size) noexcept {
  assert(size <= size_);
  if (size < size_) sodium_memzero(data_ + size, size_ - size);
  size_ = size;
}

bool SecretBytes::equal(const SecretBytes& a, const SecretBytes& b) noexcept {
  return a.size_ == b.size_ && (a.size_ == 0 || sodium_memcmp(a.data_, b.data_, a.size_) == 0);
}

SecretString::SecretString(std::string_view text)
    : bytes_(std::span(reinterpret_cast<const unsigned char*>(text.data()), text.size())) {}

SecretString::SecretString(SecretBytes bytes) noexcept : bytes_(std::move(bytes)) {}

std::string_view SecretString::expose() const noexcept {
  const auto bytes = bytes_.expose();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::optional<SecretString> clone(const std::optional<SecretString>& secret) {
  return secret ? std::optional(secret->clone()) : std::nullopt;
}

SecretBuilder& SecretBuilder::append(std::string_view text) {
  if (used_ + text.size() > bytes_.size()) {
    SecretBytes larger(std::max(used_ + text.size(), bytes_.size() * 2));
    if (used_ != 0) std::memcpy(larger.mutable_span().data(), bytes_.expose().data(), used_);
    bytes_ = std::move(larger);
  }
  if (!text.empty()) std::memcpy(bytes_.mutable_span().data() + used_, text.data(), text.size());
  used_ += text.size();
  return *this;
}

SecretString SecretBuilder::finish() && {
  bytes_.truncate(used_);
  used_ = 0;
  return SecretString(std::move(bytes_));
}

}  // namespace latchkey
