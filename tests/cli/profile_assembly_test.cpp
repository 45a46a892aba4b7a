// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <catch2/catch_test_macros.hpp>
#include <optional>
#include <string>

import latchkey.cli.profile;
import latchkey.cli.profile.assembly;
import latchkey.cli.profile.folder;
import latchkey.core;
import latchkey.session;
import latchkey.test.folder;

// What becomes of a stored profile when a login says something else.

using namespace latchkey;
using namespace latchkey::cli;
using namespace latchkey::test;

namespace {

Profile secret_client() {
  Profile profile;
  profile.issuer = "https://id.example.com";
  profile.endpoints = {.authorization = "https://id.example.com/a",
                       .token = "https://id.example.com/t",
                       .device_authorization = {},
                       .revocation = {},
                       .pushed_authorization_request = {},
                       .jwks = {}};
  profile.client_id = "my-client";
  profile.client_auth = ClientAuthMethod::client_secret_post;
  profile.secret.file = "/home/me/secret";
  profile.scope = "read";
  profile.resources = {"https://api.example.com"};
  profile.origins = {"https://files.example.com"};
  profile.without_jwks_validation = true;
  return profile;
}

struct Stored {
  explicit Stored(const Profile& profile) { profiles.save("work", profile).value(); }

  TemporaryFolder home{};
  ProfileFolder profiles{home.path() / "config"};

  [[nodiscard]] Profile with(const ProfileFlags& flags) const {
    const auto nothing = [](const std::string&) { return std::optional<std::string>(); };
    return assemble_profile("work", flags, profiles, nothing).value().profile;
  }
};

}  // namespace

TEST_CASE("assemble_profile: another issuer gets nothing that was said of the one before",
          "[cli]") {
  const Stored stored(secret_client());
  ProfileFlags flags;
  flags.issuer = "https://id.example.com/other";
  const Profile profile = stored.with(flags);
  CHECK(profile.issuer == "https://id.example.com/other");
  CHECK_FALSE(profile.secret.is_set());
  CHECK(profile.client_auth == ClientAuthMethod::none);
  CHECK(profile.endpoints == Endpoints{});
  CHECK(profile.resources.empty());
  CHECK(profile.origins.empty());
  CHECK_FALSE(profile.without_jwks_validation);
  CHECK(profile.client_id == "my-client");
  CHECK(profile.scope == "read");
}

TEST_CASE("assemble_profile: another token endpoint is another provider if there is no issuer",
          "[cli]") {
  Profile without = secret_client();
  without.issuer.clear();
  const Stored stored(without);
  ProfileFlags flags;
  flags.endpoints.token = "https://other.example.com/t";
  flags.endpoints.authorization = "https://other.example.com/a";
  const Profile profile = stored.with(flags);
  CHECK_FALSE(profile.secret.is_set());
  CHECK(profile.origins.empty());
  CHECK(profile.endpoints == flags.endpoints);
  flags.endpoints.token = "https://id.example.com/t";
  CHECK(stored.with(flags).secret == without.secret);
}

TEST_CASE("assemble_profile: what the flags say along with another issuer counts", "[cli]") {
  const Stored stored(secret_client());
  ProfileFlags flags;
  flags.issuer = "https://other.example.com";
  flags.client_secret_file = "/home/me/other";
  flags.origins = {"https://files.other.example.com"};
  const Profile profile = stored.with(flags);
  CHECK(profile.secret.file == "/home/me/other");
  CHECK(profile.client_auth == ClientAuthMethod::client_secret_basic);
  CHECK(profile.origins == flags.origins);
  CHECK(profile.endpoints == Endpoints{});
}

TEST_CASE("assemble_profile: the same issuer again changes nothing", "[cli]") {
  const Stored stored(secret_client());
  ProfileFlags flags;
  flags.issuer = "https://id.example.com";
  CHECK(stored.with(flags) == secret_client());
  CHECK(stored.with({}) == secret_client());
}

TEST_CASE("assemble_profile: a file named with --config is meant with the flags beside it",
          "[cli]") {
  const Stored stored(secret_client());
  const auto file = stored.home.path() / "config.json";
  write_text(file, R"({"issuer":"https://tenant.example.com","client_id":"c",)"
                   R"("origins":["https://api.example.com"]})");
  chmod(file.c_str(), 0600);
  ProfileFlags flags;
  flags.config = file.native();
  flags.issuer = "https://mine.example.com";
  const Profile profile = stored.with(flags);
  CHECK(profile.issuer == "https://mine.example.com");
  CHECK(profile.origins.size() == 1);
  CHECK_FALSE(profile.secret.is_set());
}
