// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.doctor.findings;
import latchkey.core.error;

namespace latchkey::cli {

std::string_view to_string(Severity severity) noexcept {
  switch (severity) {
    case Severity::ok:
      return "ok";
    case Severity::note:
      return "note";
    case Severity::problem:
      break;
  }
  return "problem";
}

void Findings::add(Severity severity, std::string id, std::string about, std::string text) {
  findings_.push_back({severity, std::move(id), std::move(about), std::move(text)});
}

void Findings::add(const Error& error, std::string about) {
  add(Severity::problem, error.detail, std::move(about), error.message);
}

void Findings::add(Finding finding, const Repair& repair) {
  if (!fix_) {
    finding.text += "; latchkey doctor --fix can " + repair.what;
  } else if (auto done = repair.run(); done) {
    finding.severity = Severity::note;
    finding.fixed = true;
    finding.text += "; " + repair.done;
  } else {
    finding.text += "; could not " + repair.what + ": " + done.error().message;
  }
  findings_.push_back(std::move(finding));
}

bool Findings::healthy() const noexcept {
  return std::none_of(findings_.begin(), findings_.end(),
                      [](const Finding& finding) { return finding.severity == Severity::problem; });
}

}  // namespace latchkey::cli
