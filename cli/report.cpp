// SPDX-License-Identifier: MIT
module;
#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.cli.report;
import latchkey.cli.options;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.refresh.moving;
import latchkey.session;

namespace latchkey::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json time_json(std::optional<TimePoint> time) {
  return time ? Json(format_rfc3339(*time)) : Json(nullptr);
}

void write_line(std::FILE* stream, std::string_view prefix, std::string_view text) {
  std::string line(prefix);
  line += text;
  line += '\n';
  std::fwrite(line.data(), 1, line.size(), stream);
  std::fflush(stream);
}

}  // namespace

Exit exit_of(const Error& error) noexcept {
  switch (error.code) {
    case ErrorCode::login_required:
    case ErrorCode::session_dead:
    case ErrorCode::refresh_interrupted:
    case ErrorCode::key_missing:
    case ErrorCode::client_mismatch:
      return Exit::login_needed;
    case ErrorCode::locked:
    case ErrorCode::conflict:
      return Exit::locked;
    case ErrorCode::invalid_argument:
    case ErrorCode::invalid_url:
      return Exit::usage;
    default:
      return Exit::failed;
  }
}

Exit report(const Error& error, Format format) {
  if (format == Format::json) {
    show(error_json(error));
  } else {
    say(error.message);
  }
  return exit_of(error);
}

void say(std::string_view text) {
  write_line(stderr, "latchkey: ", text);
}
void show(std::string_view line) {
  write_line(stderr, "", line);
}
void print(std::string_view text) {
  write_line(stdout, "", text);
}

void print_foreign(std::string_view text) {
  if (::isatty(STDOUT_FILENO) == 0) return print(text);
  print(harmless(text));
}

bool are_results_taken() noexcept {
  return std::ferror(stdout) == 0;
}

std::string harmless(std::string_view text) {
  std::string out;
  for (;;) {
    const auto length = std::min(text.find_first_of("\n\t"), text.size());
    out += printable(text.substr(0, length), length);
    if (length == text.size()) return out;
    out += text[length];
    text.remove_prefix(length + 1);
  }
}

std::string name_of(const SessionSummary& session) {
  const std::string subject = printable(session.subject, 200);
  return session.handle.empty() ? subject : printable(session.handle, 200) + " (" + subject + ")";
}

std::string token_text(const SessionSummary& session, TimePoint now) {
  if (is_being_moved(session)) return "on its way to another store";
  if (session.state == SessionState::dead)
    return "ended (" + printable(session.state_cause, 100) + ")";
  if (session.state == SessionState::revoking) return "logged out, not confirmed by the server yet";
  if (!session.expires_at) return "token of unknown lifetime";
  return (session.is_expired(now) ? "token expired " : "token good, expires ") +
         relative_time(session.expires_at, now);
}

std::string session_json(const SessionSummary& session) {
  Json json{{"subject", session.subject},
            {"handle", session.handle},
            {"state", to_string(session.state)},
            {"expires_at", time_json(session.expires_at)},
            {"issuer", session.issuer},
            {"resource_server", session.resource_server},
            {"scope", session.scope},
            {"client_id", session.client_id},
            {"session_started_at", format_rfc3339(session.session_started_at)},
            {"refreshed_at", format_rfc3339(session.issued_at)},
            {"refresh_expires_at", time_json(session.refresh_expires_at)}};
  if (session.state != SessionState::active) json["cause"] = session.state_cause;
  return dump(json);
}

std::string error_json(const Error& error) {
  Json inner{{"code", to_string(error.code)}, {"detail", error.detail}, {"message", error.message}};
  if (error.http_status != 0) inner["http_status"] = error.http_status;
  if (error.retry_after) inner["retry_after"] = error.retry_after->count();
  if (error.oauth) {
    inner["oauth"] = {{"error", error.oauth->error},
                      {"error_description", error.oauth->error_description}};
  }
  return dump(Json{{"error", inner}});
}

std::string json_string(std::string_view text) {
  return dump(Json(std::string(text)));
}

std::string relative_time(std::optional<TimePoint> time, TimePoint now) {
  using namespace std::chrono;
  if (!time) return "unknown";
  if (*time == kMalformedTime) return "unreadable";
  const bool past = *time < now;
  const auto distance = duration_cast<seconds>(past ? now - *time : *time - now).count();
  std::string text = distance < 120            ? std::to_string(distance) + " s"
                     : distance < 120 * 60     ? std::to_string(distance / 60) + " min"
                     : distance < 48 * 60 * 60 ? std::to_string(distance / 3600) + " h"
                                               : std::to_string(distance / 86400) + " d";
  return past ? text + " ago" : "in " + text;
}

}  // namespace latchkey::cli
