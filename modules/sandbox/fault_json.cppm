// SPDX-License-Identifier: MIT
module;
#include <string>
export module latchkey.sandbox.fault_json;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.sandbox.faults;

// Faults as JSON, for scripts in other languages. Members are called as those of Fault, with the
// unit where there is one; docs/sandbox.md lists them.

export namespace latchkey::sandbox {

/// Errors: invalid_argument, "fault.unknown_member", "fault.kind" (there is no such kind),
/// "fault.server", "fault.range", "fault.hostile" (there is no such form); and those of JsonObject,
/// "<step>.wrong_type" and
/// "<step>.missing_member" (`kind`, or what the kind needs).
[[nodiscard]] Result<Fault> fault_from_json(const JsonObject& json);
/// Without the members that have their default.
[[nodiscard]] std::string fault_to_json(const Fault& fault);

}  // namespace latchkey::sandbox
