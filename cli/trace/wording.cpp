// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
module latchkey.cli.trace.wording;
import latchkey.cli.trace.record;
import latchkey.core.encoding;
import latchkey.loopback.pages;

namespace latchkey::cli {
namespace {

constexpr std::int64_t kSecond = 1000;

// "session_refreshed" as people write it.
std::string spaced(std::string word) {
  std::replace(word.begin(), word.end(), '_', ' ');
  return word;
}

// What "/xrpc/" is followed by says more than the purpose.
std::string subject_of(const TraceEntry& entry) {
  constexpr std::string_view kXrpc = "/xrpc/";
  if (entry.path.starts_with(kXrpc)) return entry.path.substr(kXrpc.size());
  const std::string purpose = spaced(entry.purpose);
  if (!entry.grant.empty()) return purpose + " (" + spaced(entry.grant) + ")";
  return entry.purpose == "resource" || entry.purpose.empty() ? entry.path : purpose;
}

}  // namespace

Ending ending_of(const TraceEntry& entry) noexcept {
  if (entry.overtaken) return Ending::overtaken;
  if (entry.is_step())
    return entry.code.empty() && entry.step != "command_failed" ? Ending::well : Ending::refused;
  if (entry.failure) return Ending::unanswered;
  if (!entry.answer) return Ending::unknown;
  return entry.answer->status >= 400 ? Ending::refused : Ending::well;
}

bool is_retry(const TraceEntry& entry) noexcept {
  return !entry.retry.empty();
}

std::string shown_text(std::string_view text, std::size_t max) {
  return escape_html(printable(text, max));
}

std::string title_of(const TraceEntry& entry) {
  if (entry.is_step()) return shown_text(spaced(entry.step));
  return shown_text(entry.method, 16) + " " + shown_text(subject_of(entry));
}

std::string result_of(const TraceEntry& entry) {
  if (entry.overtaken) return "stopped: the other way had the answer";
  if (entry.is_step()) return shown_text(entry.detail.empty() ? entry.code : entry.detail);
  if (entry.failure) {
    return "no answer: " + shown_text(entry.failure->code) +
           (entry.failure->maybe_sent ? ", may have been sent" : ", was not sent");
  }
  if (!entry.answer) return "the trace ends before an answer";
  std::string out = std::to_string(entry.answer->status);
  if (!entry.answer->error.empty()) out += " " + shown_text(entry.answer->error);
  if (entry.answer->new_nonce) out += ", new nonce";
  return out;
}

std::string retry_of(const TraceEntry& entry) {
  if (!is_retry(entry)) return {};
  return "attempt " + std::to_string(entry.attempt) + ": " + shown_text(spaced(entry.retry));
}

std::string proof_of(const TraceEntry& entry) {
  if (entry.key.empty()) return {};
  return "key " + shown_text(entry.key, 16) +
         (entry.has_nonce ? ", with a nonce" : ", without a nonce");
}

std::string time_text(std::int64_t ms) {
  if (ms < kSecond) return std::to_string(ms) + " ms";
  std::string fraction = std::to_string(ms % kSecond);
  fraction.insert(0, 3 - fraction.size(), '0');
  return std::to_string(ms / kSecond) + "." + fraction + " s";
}

std::int64_t took(const TraceEntry& entry) noexcept {
  if (entry.answer) return entry.answer->ms;
  return entry.failure ? entry.failure->ms : 0;
}

}  // namespace latchkey::cli
