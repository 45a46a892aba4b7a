// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <cstring>
#include <string_view>
module latchkey.test.torture_notes;
import latchkey.core.crypto;

namespace latchkey::test {

Mark mark_of(std::string_view secret) {
  const Sha256 digest = sha256(secret);
  Mark mark = 0;
  std::memcpy(&mark, digest.data(), sizeof mark);
  return mark | 1;
}

std::string_view to_string(Stage stage) noexcept {
  switch (stage) {
    case Stage::idle:
      return "idle";
    case Stage::claimed:
      return "claimed";
    case Stage::posting:
      return "posting";
    case Stage::answered:
      return "saving";
    case Stage::unsaved:
      return "unsaved";
    case Stage::held_up:
      return "held up";
    case Stage::saved:
      return "saved";
    case Stage::over:
      break;
  }
  return "over";
}

bool is_under_way(Stage stage) noexcept {
  return stage != Stage::idle && stage != Stage::saved && stage != Stage::over;
}

std::string_view to_string(Cause cause) noexcept {
  switch (cause) {
    case Cause::answer_lost:
      return "answer lost";
    case Cause::killed_posting:
      return "killed while posting";
    case Cause::killed_saving:
      return "killed while saving";
    case Cause::killed_held_up:
      return "killed while its save was held up";
    case Cause::paused_posting:
      return "paused while posting";
    case Cause::paused_saving:
      return "paused while saving";
    case Cause::unreachable:
      return "database out of reach while saving";
    case Cause::check_gap:
      return "between check and request";
    case Cause::lost:
      break;
  }
  return "LOST";
}

}  // namespace latchkey::test
