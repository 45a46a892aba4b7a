// SPDX-License-Identifier: MIT
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

import latchkey.core;
import latchkey.store.vault;
import latchkey.store.vault.file_vault;
import latchkey.store.vault.key_keeper;
import latchkey.store.vault.keychain;
import latchkey.store.vault.master_key;
import latchkey.test.support;

// The tag is the world that keychain.sh makes for it.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

SecretBytes key_of(char byte, std::size_t size = 32) {
  return SecretBytes(Bytes(size, static_cast<unsigned char>(byte)));
}

std::string found(KeyKeeper& keeper, std::string_view name) {
  const auto key = keeper.find(name);
  if (!key) return outcome(key);
  return *key ? std::string(as_text((*key)->expose())) : "absent";
}

// Kept from one run of the program to the next.
std::filesystem::path lasting(std::string_view name) {
  return std::filesystem::path(std::getenv("HOME")) / name;
}

std::string open_vault(const std::filesystem::path& folder, std::shared_ptr<KeyKeeper> keeper) {
  return outcome(FileKeyVault::open(folder, MasterKey::keychain(std::move(keeper))));
}

// What every call says, and that each returned in bounded time.
std::vector<std::string> all_calls(KeyKeeper& keeper, std::chrono::milliseconds limit) {
  std::vector<std::string> out;
  for (const std::function<std::string()>& call :
       {std::function<std::string()>([&] { return outcome(keeper.ready()); }),
        std::function<std::string()>([&] { return found(keeper, "0123"); }),
        std::function<std::string()>([&] { return outcome(keeper.keep("0123", key_of('k'))); }),
        std::function<std::string()>([&] { return outcome(keeper.remove("0123")); })}) {
    const auto began = std::chrono::steady_clock::now();
    out.push_back(call());
    CHECK(std::chrono::steady_clock::now() - began < limit);
  }
  return out;
}

std::vector<std::string> four_times(std::string_view text) {
  return std::vector<std::string>(4, std::string(text));
}

// A bus that lets everybody connect and never says a word.
class SilentBus {
 public:
  explicit SilentBus(const std::filesystem::path& path) : socket_(socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    if (bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        listen(socket_, 16) != 0) {
      throw std::runtime_error("no socket at " + path.string());
    }
  }
  SilentBus(const SilentBus&) = delete;
  SilentBus& operator=(const SilentBus&) = delete;
  ~SilentBus() { close(socket_); }

 private:
  int socket_;
};

}  // namespace

TEST_CASE("keychain: a key is kept, found, replaced and removed", "[unlocked]") {
  const auto keeper = secret_service_keychain();
  REQUIRE(outcome(keeper->ready()) == "ok");
  CHECK(found(*keeper, "a1") == "absent");
  REQUIRE(outcome(keeper->keep("a1", key_of('x'))) == "ok");
  REQUIRE(outcome(keeper->keep("a2", key_of('y'))) == "ok");
  CHECK(found(*keeper, "a1") == std::string(32, 'x'));
  CHECK(found(*secret_service_keychain(), "a2") == std::string(32, 'y'));
  REQUIRE(outcome(keeper->keep("a1", key_of('z'))) == "ok");
  CHECK(found(*keeper, "a1") == std::string(32, 'z'));
  REQUIRE(outcome(keeper->remove("a1")) == "ok");
  CHECK(found(*keeper, "a1") == "absent");
  CHECK(outcome(keeper->remove("a1")) == "ok");
  CHECK(found(*keeper, "a2") == std::string(32, 'y'));
}

TEST_CASE("keychain: what is no key of ours is corrupt, and stays", "[unlocked]") {
  const auto keeper = secret_service_keychain();
  for (const std::size_t size : {std::size_t{0}, std::size_t{31}, std::size_t{33}}) {
    REQUIRE(keeper->keep("f1", key_of('x', size)));
    CHECK(found(*keeper, "f1") == "corrupt keychain.foreign");
    CHECK(found(*keeper, "f1") == "corrupt keychain.foreign");
  }
}

TEST_CASE("keychain: threads may use it at once", "[unlocked]") {
  const auto keeper = secret_service_keychain();
  REQUIRE(keeper->keep("t1", key_of('t')));
  std::vector<std::string> seen(8);
  {
    std::vector<std::jthread> threads;
    for (auto& each : seen) threads.emplace_back([&] { each = found(*keeper, "t1"); });
  }
  CHECK(seen == std::vector<std::string>(8, std::string(32, 't')));
}

TEST_CASE("keychain: a vault is made, opened again, and locked without its item", "[unlocked]") {
  const TemporaryFolder root;
  const auto folder = root.path() / "vault";
  const auto keeper = secret_service_keychain();
  std::string item;
  {
    const auto vault = FileKeyVault::open(folder, MasterKey::keychain(keeper)).value();
    REQUIRE(vault->put("id", key_of('p')));
    item = vault->status().value().keychain_item;
    CHECK(item.size() == 32);
  }
  CHECK(open_vault(folder, keeper) == "ok");
  CHECK(names_in(folder).size() == 3);  // header, lock, one key
  const auto key = keeper->find(item).value().value().clone();
  REQUIRE(keeper->remove(item));
  CHECK(open_vault(folder, keeper) == "locked vault.keychain_item_missing");
  REQUIRE(keeper->keep(item, key_of('w')));
  CHECK(open_vault(folder, keeper) == "wrong_key vault.wrong_master_key");
  REQUIRE(keeper->keep(item, key_of('w', 7)));
  CHECK(open_vault(folder, keeper) == "corrupt keychain.foreign");
  REQUIRE(keeper->keep(item, key));
  CHECK(open_vault(folder, keeper) == "ok");
}

TEST_CASE("keychain: rewrapping into it and out of it leaves no item behind", "[unlocked]") {
  const TemporaryFolder root;
  const auto folder = root.path() / "vault";
  const auto keeper = secret_service_keychain();
  const auto key_file = MasterKey::key_file(root.path() / "vault.key");
  const auto vault = FileKeyVault::open(folder, key_file).value();
  REQUIRE(vault->rewrap(MasterKey::keychain(keeper)));
  const auto first = vault->status().value().keychain_item;
  REQUIRE(vault->rewrap(MasterKey::keychain(keeper)));
  const auto second = vault->status().value().keychain_item;
  CHECK(first != second);
  CHECK(found(*keeper, first) == "absent");
  CHECK(found(*keeper, second) != "absent");
  REQUIRE(vault->rewrap(key_file));
  CHECK(found(*keeper, second) == "absent");
  CHECK(outcome(FileKeyVault::open(folder, key_file)) == "ok");
}

TEST_CASE("keychain: a vault is made while it is unlocked", "[before_lock]") {
  const auto keeper = secret_service_keychain();
  CHECK(open_vault(lasting("vault"), keeper) == "ok");
  CHECK(outcome(keeper->keep("0123", key_of('k'))) == "ok");
}

TEST_CASE("keychain: locked, it says so at once and opens no prompt", "[locked]") {
  const auto keeper = secret_service_keychain();
  CHECK(all_calls(*keeper, 5s) == four_times("locked keychain.locked"));
  CHECK(open_vault(lasting("vault"), keeper) == "locked keychain.locked");
  CHECK(open_vault(lasting("new-vault"), keeper) == "locked keychain.locked");
  CHECK_FALSE(std::filesystem::exists(lasting("new-vault") / "vault.header"));
  CHECK_FALSE(std::filesystem::exists(lasting("activated")));
}

TEST_CASE("keychain: without a service there is none", "[no_service]") {
  const auto keeper = secret_service_keychain();
  CHECK(all_calls(*keeper, 5s) == four_times("locked keychain.no_service"));
  CHECK(open_vault(lasting("vault"), keeper) == "locked keychain.no_service");
  CHECK_FALSE(std::filesystem::exists(lasting("vault") / "vault.header"));
}

TEST_CASE("keychain: without a bus there is none, and none is started", "[no_bus]") {
  const std::string none = "locked keychain.no_bus";
  CHECK(all_calls(*secret_service_keychain(), 2s) == four_times(none));
  for (const std::string_view address : {"unix:path=/no/such/socket", "autolaunch:",
                                         "unix:path=/dev/null;autolaunch:", "nonsense"}) {
    INFO(address);
    setenv("DBUS_SESSION_BUS_ADDRESS", std::string(address).c_str(), 1);
    CHECK(outcome(secret_service_keychain()->ready()) == none);
  }
  unsetenv("DBUS_SESSION_BUS_ADDRESS");
}

TEST_CASE("keychain: a bus that says nothing is waited for in vain, for a bounded time",
          "[no_bus]") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "bus";
  const SilentBus bus(path);
  setenv("DBUS_SESSION_BUS_ADDRESS", ("unix:path=" + path.string()).c_str(), 1);
  const auto keeper = secret_service_keychain({.patience = 300ms});
  CHECK(all_calls(*keeper, 5s) == four_times("locked keychain.timeout"));
  unsetenv("DBUS_SESSION_BUS_ADDRESS");
}

TEST_CASE("keychain: a service that never comes up is waited for in vain, for a bounded time",
          "[hanging]") {
  const auto keeper = secret_service_keychain({.patience = 300ms});
  CHECK(all_calls(*keeper, 5s) == four_times("locked keychain.timeout"));
  CHECK(open_vault(lasting("vault"), keeper) == "locked keychain.timeout");
  CHECK_FALSE(std::filesystem::exists(lasting("vault") / "vault.header"));
}
