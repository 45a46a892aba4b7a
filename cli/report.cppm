// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
#include <string_view>
export module latchkey.cli.report;
import latchkey.cli.options;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.session;

// The tool's manners. Results go to standard output; everything said to a person goes to standard
// error, prefixed "latchkey: ", lower case, without a full stop. With --json, results and errors
// are JSON, one value a line.

export namespace latchkey::cli {

enum class Exit : int { ok = 0, failed = 1, usage = 2, login_needed = 3, locked = 4 };

[[nodiscard]] Exit exit_of(const Error& error) noexcept;
/// Reports a failure and gives the exit code for it.
[[nodiscard]] Exit report(const Error& error, Format format);

/// One line to the person at the terminal.
void say(std::string_view text);
/// A line without prefix on standard error, for what is to be copied (a URL).
void show(std::string_view line);
/// A result on standard output, with a newline.
void print(std::string_view text);

/// A result in a server's words: as they are, but harmless() on a terminal.
void print_foreign(std::string_view text);
/// False once a result could not be written, for example because who read them has gone.
[[nodiscard]] bool are_results_taken() noexcept;
/// With "?" for what would move a terminal's cursor or change what is shown, lines and tabs aside.
[[nodiscard]] std::string harmless(std::string_view text);

/// "alice.test (did:plc:…)", or the subject alone.
[[nodiscard]] std::string name_of(const SessionSummary& session);
/// What its token is good for, in words.
[[nodiscard]] std::string token_text(const SessionSummary& session, TimePoint now);
/// {"subject","handle","state","expires_at",…} as compact JSON.
[[nodiscard]] std::string session_json(const SessionSummary& session);
[[nodiscard]] std::string error_json(const Error& error);
/// `text` as a JSON string.
[[nodiscard]] std::string json_string(std::string_view text);
/// "in 43 min", "12 s ago", "unknown".
[[nodiscard]] std::string relative_time(std::optional<TimePoint> time, TimePoint now);

}  // namespace latchkey::cli
