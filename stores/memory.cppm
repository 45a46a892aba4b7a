// SPDX-License-Identifier: MIT
module;
#include <memory>
export module latchkey.store.memory;
import latchkey.core.time;
import latchkey.store;
import latchkey.store.vault;

// Sessions that live as long as the process: for tests, and for programs that keep theirs
// elsewhere.

export namespace latchkey {

/// Thread-safe. Records are sealed like anywhere else.
class MemoryOAuthTokenStore {
 public:
  [[nodiscard]] static std::shared_ptr<OAuthTokenStore> create(
      std::shared_ptr<Sealer> sealer, std::shared_ptr<Clock> clock = nullptr);
};

}  // namespace latchkey
