// SPDX-License-Identifier: MIT
module;
#include <string_view>
module latchkey.refresh.events;

namespace latchkey {

std::string_view to_string(SessionEventKind kind) noexcept {
  switch (kind) {
    case SessionEventKind::updated:
      return "updated";
    case SessionEventKind::deleted:
      return "deleted";
    case SessionEventKind::warning:
      break;
  }
  return "warning";
}

std::string_view to_string(SessionEventCause cause) noexcept {
  switch (cause) {
    case SessionEventCause::logged_in:
      return "logged_in";
    case SessionEventCause::refreshed:
      return "refreshed";
    case SessionEventCause::logged_out:
      return "logged_out";
    case SessionEventCause::refused:
      return "refused";
    case SessionEventCause::interrupted:
      return "interrupted";
    case SessionEventCause::replaced:
      return "replaced";
    case SessionEventCause::not_durable:
      return "not_durable";
    case SessionEventCause::refresh_failed:
      return "refresh_failed";
    case SessionEventCause::logout_unconfirmed:
      break;
  }
  return "logout_unconfirmed";
}

}  // namespace latchkey
