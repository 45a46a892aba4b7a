// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.test.memory_keeper;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.vault.key_keeper;

// A keychain in memory that does as a test tells it to.

export namespace latchkey::test {

/// Thread-safe.
class MemoryKeeper final : public KeyKeeper {
 public:
  Result<void> ready() override;
  Result<std::optional<SecretBytes>> find(std::string_view name) override;
  Result<void> keep(std::string_view name, const SecretBytes& key) override;
  Result<void> remove(std::string_view name) override;

  /// Every call fails so; none: they work again.
  void fail_with(std::optional<Error> error);
  /// Runs after each keep(): what it then finds may be something else.
  void after_keep(std::function<void(MemoryKeeper&, const std::string& name)> meddle);
  [[nodiscard]] std::vector<std::string> names() const;
  /// Puts anything under a name.
  void plant(const std::string& name, std::string_view bytes);

 private:
  mutable std::mutex mutex_;
  std::map<std::string, SecretBytes, std::less<>> keys_;
  std::optional<Error> error_;
  std::function<void(MemoryKeeper&, const std::string&)> meddle_;
};

}  // namespace latchkey::test
