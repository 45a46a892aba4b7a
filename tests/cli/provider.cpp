// SPDX-License-Identifier: MIT
module;
#include <sys/stat.h>
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.provider;
import latchkey.core;
import latchkey.sandbox;
import latchkey.session;
import latchkey.store;
import latchkey.test.folder;
import latchkey.test.sandbox_world;
import latchkey.test.tool;
import latchkey.test.tool_places;

namespace latchkey::test {
namespace {

constexpr std::string_view kGrants =
    R"("grant_types":["authorization_code","refresh_token",)"
    R"("urn:ietf:params:oauth:grant-type:device_code"],"redirect_uris":["http://127.0.0.1/callback"])";

}  // namespace

Provider::Provider()
    : servers(sandbox::Sandbox::start().value()),
      alice(servers->add_account("alice.test", {}, true).value()) {
  servers->capture_secrets();
  servers
      ->add_client(
          {.metadata = R"({"client_id":"public app","token_endpoint_auth_method":"none",)" +
                       std::string(kGrants) + "}"})
      .value();
  servers
      ->add_client({.metadata = R"({"client_id":"books app",)" + std::string(kGrants) + "}",
                    .client_secret = std::string(kBookSecret)})
      .value();
}

ToolStart Provider::start(std::vector<std::string> words) const {
  ToolStart out = home.start(std::move(words));
  out.environment["LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK"] = "1";
  return out;
}

std::string shown_address(std::string_view said) {
  const auto begin = said.find("\nhttp");
  if (begin == std::string_view::npos) return {};
  return std::string(said.substr(begin + 1, said.find('\n', begin + 1) - begin - 1));
}

ToolRun Provider::log_in(std::vector<std::string> words) {
  words.insert(words.begin(), "login");
  for (const char* more : {"--no-browser", "--parameter", "login_hint=alice.test"})
    words.emplace_back(more);
  Tool tool(start(std::move(words)));
  if (tool.says("waiting for you")) {
    const auto page = Url::parse(shown_address(tool.said()));
    REQUIRE(page);
    REQUIRE(browser.open(*page));
  }
  return tool.finish();
}

ToolRun Provider::log_in_to_work(std::vector<std::string> more) {
  std::vector<std::string> words{
      "--profile",   "work",       "--issuer", servers->issuer(),
      "--client-id", "public app", "--scope",  "openid profile offline_access"};
  words.insert(words.end(), more.begin(), more.end());
  return log_in(std::move(words));
}

OAuthSession Provider::stored(std::string_view profile) const {
  return std::move(home.store()->load(profile).value().value());
}

std::string Provider::secret_file(std::string_view name, std::string_view text) const {
  const auto path = home.path() / name;
  write_text(path, text);
  chmod(path.c_str(), 0600);
  return path.native();
}

std::string Provider::config_of(std::string_view profile) const {
  return read_text(home.data_dir() / "config" / "profiles" / (std::string(profile) + ".json"))
      .value_or("");
}

void Provider::check_no_secret(std::string_view text) const {
  CHECK(text.find("Marked") == std::string_view::npos);
  for (const std::string& secret : servers->captured_secrets()) {
    CAPTURE(secret);
    CHECK(text.find(secret) == std::string_view::npos);
  }
}

}  // namespace latchkey::test
