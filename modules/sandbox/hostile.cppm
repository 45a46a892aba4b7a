// SPDX-License-Identifier: MIT
module;
#include <string_view>
export module latchkey.sandbox.hostile;
export import latchkey.sandbox.hostile_forms;
import latchkey.sandbox.message;

// Turns a right answer into a hostile one.

export namespace latchkey::sandbox {

/// Changes what the server at `origin` is about to answer. A member is set in the answer's JSON
/// object, or, of a callback, in the query of its Location; an answer without these stays as it is.
void make_hostile(const HostileForm& form, std::string_view origin, Response& response);

}  // namespace latchkey::sandbox
