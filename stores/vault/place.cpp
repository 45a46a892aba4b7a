// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
module latchkey.store.vault.place;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.time;

namespace latchkey {
namespace {

constexpr std::chrono::seconds kLockPatience{30};

}  // namespace

Result<std::unique_ptr<HeldLock>> lock_whole(LockFile& lock, const Clock& clock) {
  return lock.acquire(LockKind::whole, "vault", {.deadline = clock.steady_now() + kLockPatience});
}

std::string shown(const std::filesystem::path& path) {
  return printable(path.native(), 300);
}

Error cannot_open(ErrorCode code, std::string_view detail, const std::string& why) {
  return make_error(code, detail, "cannot open the vault: " + why);
}

}  // namespace latchkey
