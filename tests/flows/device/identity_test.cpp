// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.flows.device_identity;
import latchkey.http;
import latchkey.session;
import latchkey.test.child;
import latchkey.test.disk;
import latchkey.test.faults;
import latchkey.test.folder;
import latchkey.test.outcome;
import latchkey.test.scripted_transport;

using namespace latchkey;
using namespace latchkey::test;
namespace fs = std::filesystem;

namespace {

fs::path identity_file(const TemporaryFolder& folder) {
  return folder.path() / "device-identity";
}

std::string opened(const TemporaryFolder& folder) {
  return outcome(DeviceIdentity::open(folder.path()));
}

OAuthSession session_of(std::string subject, std::uint64_t login_id) {
  OAuthSession session;
  session.subject = std::move(subject);
  session.login_id = login_id;
  return session;
}

/// A server that answers each binding with the next status; 0: no answer.
struct BindingServer {
  [[nodiscard]] DeviceIdentity::Binder binder() {
    return [this](const OAuthSession& session, const DeviceIdentity& identity,
                  std::stop_token) -> Result<HttpResponse> {
      asked.push_back(session.subject + ' ' + identity.id());
      const int status = statuses.at(asked.size() - 1);
      if (status == 0)
        return make_error(ErrorCode::unreachable, "test.down", "the network is down");
      return answer(status, {{"Retry-After", "9"}});
    };
  }
  std::vector<int> statuses;
  std::vector<std::string> asked{};
};

}  // namespace

TEST_CASE("device identity: it is drawn once, and is the same ever after", "[identity]") {
  const TemporaryFolder folder, other;
  const auto first = DeviceIdentity::open(folder.path()).value();
  CHECK(first.id().size() == 22);
  CHECK(base64url_decode(first.id())->size() == 16);
  CHECK(DeviceIdentity::open(folder.path())->id() == first.id());
  CHECK(DeviceIdentity::open(other.path())->id() != first.id());
}

TEST_CASE("device identity: its file is private, and what docs/formats.md says", "[identity]") {
  const TemporaryFolder folder;
  const auto identity = DeviceIdentity::open(folder.path() / "new").value();
  CHECK(mode_of(folder.path() / "new") == 0700);
  CHECK(mode_of(folder.path() / "new" / "device-identity") == 0600);
  CHECK(read_text(folder.path() / "new" / "device-identity") ==
        "latchkey.device.v1 " + identity.id() + "\n");
}

TEST_CASE("PV-23: the device has a name for people: the one given, or the host's", "[identity]") {
  const TemporaryFolder folder;
  CHECK(DeviceIdentity::open(folder.path())->label() == host_name());
  CHECK(DeviceIdentity::open(folder.path(), {.label = "K\xC3\xBC"
                                                      "che"})
            ->label() ==
        "K\xC3\xBC"
        "che");
}

TEST_CASE("device identity: a name that could not be shown is refused", "[identity]") {
  const TemporaryFolder folder;
  for (const std::string& label :
       {std::string(129, 'x'), std::string("a\nb"), std::string("\x1b[2J"), std::string("\xFF")}) {
    CHECK(outcome(DeviceIdentity::open(folder.path(), {.label = label})) ==
          "invalid_argument device_identity.label");
  }
  CHECK(names_in(folder.path()).empty());
}

TEST_CASE("device identity: only fields that have a name are sent", "[identity]") {
  const TemporaryFolder folder;
  const auto identity = DeviceIdentity::open(folder.path(), {.label = "kitchen"}).value();
  CHECK(identity.fields({}).empty());
  CHECK(identity.fields({.label = "device_name"}) == FormFields{{"device_name", "kitchen"}});
  CHECK(identity.fields({.id = "device_instance_id", .label = "name"}) ==
        FormFields{{"device_instance_id", identity.id()}, {"name", "kitchen"}});
}

TEST_CASE("device identity: what is damaged is an error, and stays as it is", "[identity]") {
  const std::string id = "AAECAwQFBgcICQoLDA0ODw";
  const std::pair<std::string, std::string> cases[] = {
      {"", "corrupt device_identity.malformed"},
      {"latchkey.device.v1", "corrupt device_identity.malformed"},
      {"latchkey.device.v1 " + id, "corrupt device_identity.malformed"},
      {"latchkey.device.v1 " + id + "\n\n", "corrupt device_identity.malformed"},
      {"latchkey.device.v1 " + id.substr(1) + "\n", "corrupt device_identity.malformed"},
      {"latchkey.device.v1 " + id + "AA\n", "corrupt device_identity.malformed"},
      {"latchkey.device.v1 AAECAwQFBgcICQoLDA0OD!\n", "corrupt device_identity.malformed"},
      {std::string(22, '\0'), "corrupt device_identity.malformed"},
      {"latchkey.device.v2 " + id + "\n", "schema_too_new device_identity.version"},
      {std::string(257, 'x'), "corrupt file.too_large"}};
  for (const auto& [text, expected] : cases) {
    CAPTURE(text);
    const TemporaryFolder folder;
    write_text(identity_file(folder), text);
    CHECK(opened(folder) == expected);
    CHECK(read_text(identity_file(folder)) == text);
  }
}

TEST_CASE("device identity: what others could have written is not believed", "[identity]") {
  const TemporaryFolder folder;
  static_cast<void>(DeviceIdentity::open(folder.path()).value());
  REQUIRE(::chmod(identity_file(folder).c_str(), 0644) == 0);
  CHECK(opened(folder) == "insecure_location location.permissions");
  REQUIRE(::chmod(identity_file(folder).c_str(), 0600) == 0);
  CHECK(opened(folder) == "ok");
  REQUIRE(::chmod(folder.path().c_str(), 0755) == 0);
  CHECK(opened(folder) == "insecure_location location.permissions");
  REQUIRE(::chmod(folder.path().c_str(), 0700) == 0);

  const TemporaryFolder other;
  fs::create_symlink(identity_file(folder), identity_file(other));
  CHECK(opened(other) == "insecure_location location.symlink");
}

TEST_CASE("device identity: a disk that fails gives an error, and later another chance",
          "[identity]") {
  const TemporaryFolder folder;
  const auto files = std::make_shared<FaultyFileSystem>(posix_file_system());
  for (std::size_t step = 1;; ++step) {
    REQUIRE(step < 20);
    files->fail_from(step, no_space());
    const auto identity =
        DeviceIdentity::open(folder.path() / std::to_string(step), {.files = files});
    files->heal();
    const auto again = DeviceIdentity::open(folder.path() / std::to_string(step), {.files = files});
    REQUIRE(outcome(again) == "ok");
    if (identity) break;
    CHECK(identity.error().code == ErrorCode::io);
  }
}

TEST_CASE("device identity: once it was given out it outlives a power cut", "[identity]") {
  const TemporaryFolder folder;
  const auto files = std::make_shared<RecordingFileSystem>(posix_file_system(), folder.path());
  const auto id = DeviceIdentity::open(folder.path() / "device", {.files = files})->id();
  for (const auto& state : files->crash_states()) {
    INFO(state.description);
    const auto disk = state.materialise();
    const auto identity = DeviceIdentity::open(disk.path() / "device");
    REQUIRE(outcome(identity) == "ok");
    CHECK((identity->id() == id || state.changes < files->changes()));
  }
}

TEST_CASE("device identity: threads and processes that begin at once get the same",
          "[identity][concurrency]") {
  const TemporaryFolder folder;
  std::vector<std::unique_ptr<ChildProcess>> children;
  for (int i = 0; i < 4; ++i) {
    children.push_back(std::make_unique<ChildProcess>(
        std::vector<std::string>{LATCHKEY_IDENTITY_CHILD, folder.path().string()}));
    REQUIRE(children.back()->read_line() == "ready");
  }
  for (const auto& child : children) child->write_line("go");
  std::vector<std::string> ids(4);
  {
    std::vector<std::jthread> threads;
    for (auto& id : ids) {
      threads.emplace_back([&] { id = DeviceIdentity::open(folder.path()).value().id(); });
    }
  }
  for (const auto& child : children) ids.push_back(child->read_line());
  CHECK(std::set<std::string>(ids.begin(), ids.end()).size() == 1);
  CHECK(ids[0].size() == 22);
}

TEST_CASE("SA-44: a session is bound once, and that is remembered", "[identity]") {
  const TemporaryFolder folder;
  BindingServer server{.statuses = {201}};
  const auto identity = DeviceIdentity::open(folder.path()).value();
  const auto session = session_of("alice", 1);
  CHECK(identity.bind(session, server.binder()).value() == BindOutcome::bound);
  CHECK(identity.bind(session, server.binder()).value() == BindOutcome::bound_before);
  const auto restarted = DeviceIdentity::open(folder.path()).value();
  CHECK(restarted.bind(session, server.binder()).value() == BindOutcome::bound_before);
  CHECK(server.asked == std::vector<std::string>{"alice " + identity.id()});
}

TEST_CASE("SA-44: a server that says 409 has bound it before", "[identity]") {
  const TemporaryFolder folder;
  BindingServer server{.statuses = {409}};
  const auto identity = DeviceIdentity::open(folder.path()).value();
  CHECK(identity.bind(session_of("alice", 1), server.binder()).value() ==
        BindOutcome::bound_before);
  CHECK(identity.bind(session_of("alice", 1), server.binder()).value() ==
        BindOutcome::bound_before);
  CHECK(server.asked.size() == 1);
}

TEST_CASE("SA-44: a failure surfaces, and the next start tries again", "[identity]") {
  const TemporaryFolder folder;
  BindingServer server{.statuses = {500, 403, 0, 302, 200}};
  const auto session = session_of("alice", 1);
  const auto attempt = [&] {
    return DeviceIdentity::open(folder.path()).value().bind(session, server.binder());
  };
  const auto refused = attempt();
  CHECK(outcome(refused) == "resource_error device_identity.bind_refused");
  CHECK(refused.error().http_status == 500);
  CHECK(refused.error().retry_after == std::chrono::seconds(9));
  CHECK(outcome(attempt()) == "resource_error device_identity.bind_refused");
  CHECK(outcome(attempt()) == "unreachable test.down");
  CHECK(outcome(attempt()) == "resource_error device_identity.bind_refused");
  CHECK(attempt().value() == BindOutcome::bound);
}

TEST_CASE("SA-44: another login, another subject and another device are bound anew", "[identity]") {
  const TemporaryFolder folder;
  BindingServer server{.statuses = {200, 200, 200, 200}};
  const auto bind = [&](OAuthSession session) {
    return DeviceIdentity::open(folder.path())->bind(session, server.binder()).value();
  };
  CHECK(bind(session_of("alice", 1)) == BindOutcome::bound);
  CHECK(bind(session_of("alice", 2)) == BindOutcome::bound);
  CHECK(bind(session_of("bob", 2)) == BindOutcome::bound);
  CHECK(bind(session_of("bob", 2)) == BindOutcome::bound_before);
  fs::remove(identity_file(folder));
  CHECK(bind(session_of("bob", 2)) == BindOutcome::bound);
}

TEST_CASE("SA-44: two that bind at once ask the server once", "[identity][concurrency]") {
  const TemporaryFolder folder;
  BindingServer server{.statuses = {200}};
  const auto session = session_of("alice", 1);
  std::vector<std::string> outcomes(8);
  {
    std::vector<std::jthread> threads;
    for (auto& one : outcomes) {
      threads.emplace_back([&] {
        const auto identity = DeviceIdentity::open(folder.path()).value();
        one = outcome(identity.bind(session, server.binder()));
      });
    }
  }
  CHECK(std::set<std::string>(outcomes.begin(), outcomes.end()) == std::set<std::string>{"ok"});
  CHECK(server.asked.size() == 1);
}

TEST_CASE("SA-44: a binding that can't be remembered is an error, and is asked for again",
          "[identity]") {
  const TemporaryFolder folder;
  const auto files = std::make_shared<FaultyFileSystem>(posix_file_system());
  BindingServer server{.statuses = {200, 409}};
  const auto identity = DeviceIdentity::open(folder.path(), {.files = files}).value();
  files->fail_from(1, no_space());
  CHECK(outcome(identity.bind(session_of("alice", 1), server.binder())) == "io io.no_space");
  files->heal();
  CHECK(identity.bind(session_of("alice", 1), server.binder()).value() ==
        BindOutcome::bound_before);
}
