// SPDX-License-Identifier: MIT
module;
#include <set>
#include <string>
#include <string_view>
#include <vector>
module latchkey.test.hostile_world;
import latchkey.sandbox;
import latchkey.test.sandbox_world;

namespace latchkey::test {

void meet(const SandboxWorld& world, std::string_view form) {
  const auto* found = sandbox::find_hostile_form(form);
  world.servers->clear_faults();
  world.servers->forget_requests();
  // A new key's first pushed request is asked for a nonce.
  const bool nonce_first = found->document == sandbox::Document::par;
  world.servers->inject({.kind = sandbox::FaultKind::hostile,
                         .skip = nonce_first ? 1U : 0U,
                         .times = 100,
                         .text = found->name});
}

bool was_last(const SandboxWorld& world, std::string_view form) {
  const auto requests = world.servers->requests();
  if (requests.empty()) return false;
  return sandbox::asks_for(sandbox::find_hostile_form(form)->document, requests.back().server,
                           requests.back().path);
}

std::set<std::string> names_of(const std::vector<Refused>& rows) {
  std::set<std::string> names;
  for (const auto& row : rows) names.insert(row.form);
  return names;
}

std::set<std::string> forms_of(const std::set<sandbox::Document>& documents) {
  std::set<std::string> names;
  for (const auto& form : sandbox::hostile_forms()) {
    if (documents.contains(form.document)) names.insert(form.name);
  }
  return names;
}

}  // namespace latchkey::test
