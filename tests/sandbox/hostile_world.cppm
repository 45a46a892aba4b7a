// SPDX-License-Identifier: MIT
module;
#include <set>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.test.hostile_world;
import latchkey.sandbox;
import latchkey.test.sandbox_world;

// Logins that meet the sandbox's hostile forms.

export namespace latchkey::test {

/// A hostile form and how it must end.
struct Refused {
  std::string form;
  std::string outcome;
};

/// From now on every answer for the form's document is hostile. Forgets what was before.
void meet(const SandboxWorld& world, std::string_view form);
/// Whether the last request that reached a server was one for the form's document.
[[nodiscard]] bool was_last(const SandboxWorld& world, std::string_view form);

[[nodiscard]] std::set<std::string> names_of(const std::vector<Refused>& rows);
[[nodiscard]] std::set<std::string> forms_of(const std::set<sandbox::Document>& documents);

}  // namespace latchkey::test
