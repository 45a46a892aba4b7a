// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.cli.doctor.findings;
import latchkey.core.error;

// What the doctor finds, apart from how it looks for it and how it shows it.

export namespace latchkey::cli {

enum class Severity {
  ok,
  note,     ///< worth knowing; nothing has to be done
  problem,  ///< something does not work, or is not safe
};
[[nodiscard]] std::string_view to_string(Severity severity) noexcept;

struct Finding {
  Severity severity = Severity::ok;
  std::string id;     ///< stable: the detail of the error if it is one, e.g. "record.truncated"
  std::string about;  ///< what it is about: a path, a session, a part of the set-up
  std::string text;   ///< a problem with its remedy
  bool fixed = false;
};

/// What can be done about a finding.
struct Repair {
  std::string what;  ///< "remove it": completes "latchkey doctor --fix can …"
  std::string done;  ///< "removed"
  std::function<Result<void>()> run;
};

class Findings {
 public:
  /// `fix`: repairs are carried out; else they are only named.
  explicit Findings(bool fix) : fix_(fix) {}

  void add(Severity severity, std::string id, std::string about, std::string text);
  /// A problem: the error's detail and message.
  void add(const Error& error, std::string about);
  /// A finding that can be repaired; one that was is a note.
  void add(Finding finding, const Repair& repair);

  [[nodiscard]] const std::vector<Finding>& all() const noexcept { return findings_; }
  [[nodiscard]] bool healthy() const noexcept;

 private:
  bool fix_;
  std::vector<Finding> findings_;
};

}  // namespace latchkey::cli
