// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.store.nonce_files;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.time;

namespace latchkey {
namespace {

constexpr std::size_t kSlotDigits = 3;  // 4096 slots of a page each
constexpr std::size_t kMaxFile = 8 * 1024;
constexpr std::chrono::milliseconds kPatience{100};

std::string slot_of(std::string_view origin, std::string_view jkt) {
  std::string text(origin);
  text.append(1, '\n').append(jkt);
  return hex_encode(sha256(text)).substr(0, kSlotDigits);
}

}  // namespace

NonceFiles::NonceFiles(std::shared_ptr<FileSystem> files, std::shared_ptr<Clock> clock,
                       std::shared_ptr<LockFile> locks, std::filesystem::path folder)
    : files_(std::move(files)),
      clock_(std::move(clock)),
      locks_(std::move(locks)),
      folder_(std::move(folder)) {}

std::optional<std::string> NonceFiles::load(std::string_view origin, std::string_view jkt) const {
  const auto text = files_->read(folder_ / slot_of(origin, jkt), kMaxFile);
  if (!text || !*text) return std::nullopt;
  const auto json = nlohmann::json::parse(as_text((*text)->expose()), nullptr, false);
  const auto is = [&](std::size_t at, std::string_view value) {
    return json[at].is_string() && json[at].get_ref<const std::string&>() == value;
  };
  if (!json.is_array() || json.size() != 3 || !is(0, origin) || !is(1, jkt)) return std::nullopt;
  if (!json[2].is_string()) return std::nullopt;
  return json[2].get<std::string>();
}

void NonceFiles::save(std::string_view origin, std::string_view jkt, std::string_view nonce) const {
  if (!is_utf8(origin) || !is_utf8(jkt) || !is_utf8(nonce)) return;
  const auto text = nlohmann::json::array({origin, jkt, nonce}).dump();
  if (text.size() > kMaxFile) return;
  static_cast<void>(write(slot_of(origin, jkt), text));
}

Result<void> NonceFiles::write(const std::string& slot, std::string_view text) const {
  const auto lock = locks_->acquire(LockKind::write, "\nnonce" + slot,
                                    {.deadline = clock_->steady_now() + kPatience});
  if (!lock) return lock.error();
  const auto temporary = folder_ / (std::string(kTemporaryPrefix) + slot);
  if (auto cleaned = files_->remove(temporary); !cleaned) return cleaned;
  const auto file = files_->create(temporary);
  if (!file) return file.error();
  if (auto written = (*file)->write(as_bytes(text)); !written) return written;
  return files_->rename(temporary, folder_ / slot);
}

}  // namespace latchkey
