// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
#include <string_view>
#include <utility>
export module latchkey.test.broken_stores;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.time;
import latchkey.store;
import latchkey.test.conformance;
export import latchkey.test.forwarding_store;

// Stores that break one promise each: what the conformance rules have to find.

export namespace latchkey::test {

/// A place whose instances are wrapped in `Broken`.
template <class Broken, class Place>
class BrokenPlace final : public StorePlace {
 public:
  Result<std::shared_ptr<OAuthTokenStore>> open() override {
    auto store = place_.open();
    if (!store) return store;
    return std::shared_ptr<OAuthTokenStore>(std::make_shared<Broken>(std::move(*store)));
  }
  bool damage(std::string_view subject) override { return place_.damage(subject); }
  std::shared_ptr<Clock> clock() override { return place_.clock(); }

 private:
  Place place_;
};

/// Passes everything on but the two kinds of fsync, which do nothing.
[[nodiscard]] std::shared_ptr<FileSystem> without_sync(std::shared_ptr<FileSystem> inner);

}  // namespace latchkey::test
