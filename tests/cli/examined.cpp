// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.examined;
import latchkey.core.error;
import latchkey.session;
import latchkey.store;
import latchkey.store.file_names;
import latchkey.store.filesystem;
import latchkey.store.vault;
import latchkey.test.tool;
import latchkey.test.tool_places;

namespace latchkey::test {

ToolStart doctor(const Home& home, std::vector<std::string> more) {
  more.insert(more.begin(), "doctor");
  ToolStart start = home.start(std::move(more));
  start.environment["LATCHKEY_PLC_URL"] = kNobody;
  start.environment["LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK"] = "1";
  return start;
}

std::string Examined::operator[](std::string_view id) const {
  const auto row =
      std::find_if(rows.begin(), rows.end(), [&](const Row& each) { return each.id == id; });
  if (row == rows.end()) return {};
  return row->severity + (row->fixed ? " fixed" : "");
}

std::string Examined::text_of(std::string_view id) const {
  const auto row =
      std::find_if(rows.begin(), rows.end(), [&](const Row& each) { return each.id == id; });
  return row == rows.end() ? std::string() : row->text;
}

Examined examine(ToolStart start) {
  start.words.emplace_back("--json");
  const ToolRun seen = run(std::move(start));
  const auto json = nlohmann::json::parse(seen.out, nullptr, false);
  if (!json.is_array()) throw std::runtime_error("no findings: " + seen.out + seen.err);
  Examined out{.status = seen.status, .rows = {}};
  for (const auto& finding : json) {
    out.rows.push_back({finding.at("id"), finding.at("severity"), finding.at("about"),
                        finding.at("text"), finding.at("fixed").get<bool>()});
  }
  return out;
}

Examined examine(const Home& home, std::vector<std::string> more) {
  return examine(doctor(home, std::move(more)));
}

std::vector<std::string> all_paths(const std::filesystem::path& root) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    const auto name = entry.path().native();
    if (!name.ends_with("-wal") && !name.ends_with("-shm")) paths.push_back(name);
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

FilesHome::FilesHome() : alice(folder / "sessions" / session_file_name(kAlice)) {
  const auto store = open();
  for (const auto subject : {kAlice, kBob})
    store->save(session(subject, kNobody), Revision{}).value();
}

std::shared_ptr<OAuthTokenStore> FilesHome::open() const {
  return FilesystemOAuthTokenStore::open(folder, vault()->sealer()).value();
}

Examined FilesHome::examined(std::vector<std::string> more) const {
  more.insert(more.end(), {"--store", store_name()});
  return examine(*this, std::move(more));
}

}  // namespace latchkey::test
