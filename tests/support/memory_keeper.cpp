// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.memory_keeper;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.vault.key_keeper;

namespace latchkey::test {

Result<void> MemoryKeeper::ready() {
  const std::scoped_lock lock(mutex_);
  if (error_) return *error_;
  return {};
}

Result<std::optional<SecretBytes>> MemoryKeeper::find(std::string_view name) {
  const std::scoped_lock lock(mutex_);
  if (error_) return *error_;
  const auto found = keys_.find(name);
  if (found == keys_.end()) return std::optional<SecretBytes>();
  return std::optional(found->second.clone());
}

Result<void> MemoryKeeper::keep(std::string_view name, const SecretBytes& key) {
  {
    const std::scoped_lock lock(mutex_);
    if (error_) return *error_;
    keys_.insert_or_assign(std::string(name), key.clone());
  }
  if (meddle_) meddle_(*this, std::string(name));
  return {};
}

Result<void> MemoryKeeper::remove(std::string_view name) {
  const std::scoped_lock lock(mutex_);
  if (error_) return *error_;
  if (const auto found = keys_.find(name); found != keys_.end()) keys_.erase(found);
  return {};
}

void MemoryKeeper::fail_with(std::optional<Error> error) {
  const std::scoped_lock lock(mutex_);
  error_ = std::move(error);
}

void MemoryKeeper::after_keep(std::function<void(MemoryKeeper&, const std::string&)> meddle) {
  meddle_ = std::move(meddle);
}

std::vector<std::string> MemoryKeeper::names() const {
  const std::scoped_lock lock(mutex_);
  std::vector<std::string> out;
  for (const auto& [name, key] : keys_) out.push_back(name);
  return out;
}

void MemoryKeeper::plant(const std::string& name, std::string_view bytes) {
  const std::scoped_lock lock(mutex_);
  keys_.insert_or_assign(name, SecretBytes(as_bytes(bytes)));
}

}  // namespace latchkey::test
