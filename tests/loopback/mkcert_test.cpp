// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.loopback.certificate;
import latchkey.loopback.receiver;
import latchkey.test.certificate;
import latchkey.test.disk;
import latchkey.test.faults;
import latchkey.test.folder;
import latchkey.test.programs;
import latchkey.test.raw_client;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;
using Loaded = Result<std::shared_ptr<const TlsCertificate>>;

namespace {

const std::vector<std::string> kHosts{"localhost", "127.0.0.1", "::1"};

bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::size_t count_lines(std::string_view text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

// A machine whose mkcert hands out pairs that the test has made.
class Machine {
 public:
  Machine() : path_("PATH", programs_.path()) {}

  // From now on mkcert gives this pair.
  void mkcert_gives(const Identity& pair) const {
    write_text(made_.path() / "cert", pair.certificate_pem);
    write_text(made_.path() / "key", pair.key_pem);
    mkcert_does("/bin/cp '" + (made_.path() / "cert").string() + "' \"$2\"; /bin/cp '" +
                (made_.path() / "key").string() + "' \"$4\"");
  }
  void mkcert_does(const std::string& script) const { programs_.add("mkcert", script); }
  void put(const Identity& pair) const {
    std::filesystem::create_directory(folder());
    std::filesystem::permissions(folder(), std::filesystem::perms::owner_all);
    write_text(folder() / "localhost-cert.pem", pair.certificate_pem);
    write_text(folder() / "localhost-key.pem", pair.key_pem);
  }

  [[nodiscard]] std::filesystem::path folder() const { return home_.path() / "tls"; }
  [[nodiscard]] std::size_t mkcert_runs() const { return count_lines(programs_.calls()); }
  [[nodiscard]] std::string calls() const { return programs_.calls(); }
  [[nodiscard]] Loaded ensure(const LocalhostOptions& options = {}) const {
    return TlsCertificate::ensure_localhost(folder(), options);
  }

 private:
  Programs programs_;
  Variable path_;
  TemporaryFolder home_, made_;
};

Identity valid_for(std::chrono::seconds time, const std::vector<std::string>& hosts = kHosts) {
  return Authority().issue(hosts, -1h, time);
}

void check_error(const Loaded& loaded, ErrorCode code, std::string_view detail) {
  REQUIRE_FALSE(loaded);
  INFO(loaded.error().message);
  CHECK(loaded.error().code == code);
  CHECK(loaded.error().detail == detail);
  CHECK_FALSE(holds(loaded.error().message, "PRIVATE"));
}

}  // namespace

TEST_CASE("ensure_localhost: LA-54: mkcert makes the pair, in a folder for its owner alone",
          "[certificate]") {
  const Machine machine;
  const auto pair = valid_for(24h * 800);
  machine.mkcert_gives(pair);
  const auto loaded = machine.ensure();
  REQUIRE(loaded);
  CHECK((*loaded)->chain_pem() == pair.certificate_pem);
  CHECK(mode_of(machine.folder()) == 0700);
  CHECK(mode_of(machine.folder() / "localhost-key.pem") == 0600);
  CHECK(names_in(machine.folder()) ==
        std::vector<std::string>{"localhost-cert.pem", "localhost-key.pem", "lock"});
  CHECK(holds(machine.calls(), "[localhost] [127.0.0.1] [::1]\n"));
}

TEST_CASE("ensure_localhost: a good pair is reused, without mkcert", "[certificate]") {
  const Machine machine;
  machine.put(valid_for(24h * 800));
  CHECK(machine.ensure());
  CHECK(machine.ensure());
  CHECK(machine.mkcert_runs() == 0);
}

TEST_CASE("ensure_localhost: it is renewed when thirty days are left", "[certificate]") {
  const Machine machine;
  const auto old = valid_for(24h * 60);
  machine.put(old);
  machine.mkcert_gives(valid_for(24h * 800));
  const auto until = machine.ensure().value()->expires_at();
  const auto clock = std::make_shared<ManualClock>(until - 24h * 30 - 1ms);
  CHECK(machine.ensure({.clock = clock}).value()->chain_pem() == old.certificate_pem);
  CHECK(machine.mkcert_runs() == 0);
  clock->advance(1ms);
  CHECK(machine.ensure({.clock = clock}).value()->chain_pem() != old.certificate_pem);
  CHECK(machine.mkcert_runs() == 1);
}

TEST_CASE("ensure_localhost: what cannot be used is made anew", "[certificate]") {
  const Machine machine;
  const auto good = valid_for(24h * 800);
  const auto other = valid_for(24h * 800);
  const auto bad = GENERATE_COPY(
      Identity{good.certificate_pem, other.key_pem}, Identity{good.certificate_pem, "nothing"},
      Identity{"nothing", good.key_pem}, Identity{"", ""}, Authority().issue_expired(kHosts),
      Authority().issue(kHosts, 1h, 24h * 800), valid_for(24h * 800, {"localhost", "127.0.0.1"}),
      valid_for(24h * 800, {"example.com"}));
  machine.put(bad);
  machine.mkcert_gives(good);
  const auto loaded = machine.ensure();
  REQUIRE(loaded);
  CHECK((*loaded)->chain_pem() == good.certificate_pem);
  CHECK(machine.mkcert_runs() == 1);
  CHECK(machine.ensure());
  CHECK(machine.mkcert_runs() == 1);
}

TEST_CASE("ensure_localhost: LA-54: where one file of the two is missing, both are made",
          "[certificate]") {
  const Machine machine;
  const auto good = valid_for(24h * 800);
  machine.put(valid_for(24h * 800));
  std::filesystem::remove(machine.folder() /
                          GENERATE(as<std::string>(), "localhost-cert.pem", "localhost-key.pem"));
  machine.mkcert_gives(good);
  CHECK(machine.ensure().value()->chain_pem() == good.certificate_pem);
}

TEST_CASE("ensure_localhost: without mkcert it says how to get it", "[certificate]") {
  const Machine machine;
  const auto loaded = machine.ensure();
  check_error(loaded, ErrorCode::io, "certificate.mkcert_not_found");
  CHECK(holds(loaded.error().message, "apt install mkcert"));
}

TEST_CASE("ensure_localhost: when mkcert fails, what it said is passed on, cut and printable",
          "[certificate]") {
  const Machine machine;
  machine.mkcert_does("printf 'no room \\033[31m for a key' >&2; exit 3");
  const auto loaded = machine.ensure();
  check_error(loaded, ErrorCode::io, "certificate.mkcert_failed");
  CHECK(holds(loaded.error().message, "ended with 3"));
  CHECK(holds(loaded.error().message, "no room ?[31m for a key"));
  machine.mkcert_does("/usr/bin/yes complaint | /usr/bin/head -c 60000 >&2; exit 1");
  CHECK(machine.ensure().error().message.size() < 1000);
}

TEST_CASE("ensure_localhost: a mkcert that gives no good pair has failed, and changes nothing",
          "[certificate]") {
  const Machine machine;
  const auto old = valid_for(24h);
  const auto expired = Authority().issue_expired(kHosts);
  switch (GENERATE(0, 1, 2, 3)) {
    case 0:
      machine.mkcert_does("exit 0");
      break;
    case 1:
      machine.mkcert_does("echo nonsense > \"$2\"; echo nonsense > \"$4\"");
      break;
    case 2:
      machine.mkcert_gives(valid_for(24h * 800, {"example.com"}));
      break;
    default:
      machine.mkcert_gives(expired);
  }
  check_error(machine.ensure(), ErrorCode::io, "certificate.mkcert_failed");
  CHECK(names_in(machine.folder()) == std::vector<std::string>{"lock"});
}

TEST_CASE("ensure_localhost: a mkcert that hangs is ended", "[certificate]") {
  const Machine machine;
  machine.mkcert_does("/bin/sleep 600");
  check_error(machine.ensure({.timeout = 50ms}), ErrorCode::io, "certificate.mkcert_failed");
}

TEST_CASE("ensure_localhost: a pair near its end is used on where no new one can be had",
          "[certificate]") {
  const Machine machine;
  const auto old = valid_for(24h);
  machine.put(old);
  CHECK(machine.ensure().value()->chain_pem() == old.certificate_pem);
  machine.mkcert_does("exit 1");
  CHECK(machine.ensure().value()->chain_pem() == old.certificate_pem);
  CHECK(machine.mkcert_runs() == 1);
}

TEST_CASE("ensure_localhost: a folder or key that others can read is refused", "[certificate]") {
  const Machine machine;
  machine.put(valid_for(24h * 800));
  const auto path = machine.folder() / GENERATE(as<std::string>(), "", "localhost-key.pem");
  std::filesystem::permissions(path, std::filesystem::perms::others_read,
                               std::filesystem::perm_options::add);
  const auto loaded = machine.ensure();
  check_error(loaded, ErrorCode::insecure_location, "certificate.permissions");
  CHECK(holds(loaded.error().message, "chmod"));
}

TEST_CASE("ensure_localhost: a folder that cannot be made is an error of its own",
          "[certificate]") {
  const TemporaryFolder home;
  write_text(home.path() / "file", "");
  const auto loaded = TlsCertificate::ensure_localhost(home.path() / "file" / "tls");
  check_error(loaded, ErrorCode::io, "certificate.create_folder");
}

TEST_CASE("ensure_localhost: what a run that was cut off left is removed by the next",
          "[certificate]") {
  const Machine machine;
  machine.put({"", ""});
  write_text(machine.folder() / (std::string(kTemporaryPrefix) + "x-key.pem"), "a key");
  machine.mkcert_gives(valid_for(24h * 800));
  CHECK(machine.ensure());
  CHECK(names_in(machine.folder()) ==
        std::vector<std::string>{"localhost-cert.pem", "localhost-key.pem", "lock"});
}

TEST_CASE("ensure_localhost: of many at once one runs mkcert, and all get the same certificate",
          "[certificate][concurrency]") {
  const Machine machine;
  machine.mkcert_gives(valid_for(24h * 800));
  std::vector<std::future<Loaded>> all;
  for (int i = 0; i < 8; ++i) {
    all.push_back(std::async(std::launch::async, [&] { return machine.ensure(); }));
  }
  std::optional<std::string> chain;
  for (auto& one : all) {
    const auto loaded = one.get();
    REQUIRE(loaded);
    if (!chain) chain = (*loaded)->chain_pem();
    CHECK((*loaded)->chain_pem() == *chain);
  }
  CHECK(machine.mkcert_runs() == 1);
}

TEST_CASE(
    "ensure_localhost: wherever the disk fails, the error says so and the next run has a pair",
    "[certificate]") {
  std::size_t failures = 0;
  for (std::size_t n = 1;; ++n) {
    INFO(n);
    const Machine machine;
    machine.mkcert_gives(valid_for(24h * 800));
    const auto disk = std::make_shared<FaultyFileSystem>(posix_file_system());
    disk->fail_nth(n, no_space());
    const auto loaded = machine.ensure({.files = disk});
    if (n > disk->changes()) break;
    // The last change removes what mkcert left; that it fails is no reason to fail.
    if (!loaded) {
      ++failures;
      CHECK(loaded.error().code == ErrorCode::io);
      CHECK(loaded.error().detail == (n == 1 ? "certificate.create_folder" : "certificate.write"));
    }
    CHECK(machine.ensure());
  }
  CHECK(failures >= 8);
}

TEST_CASE("ensure_localhost: on a full disk a pair near its end is left as it is",
          "[certificate]") {
  const Machine machine;
  const auto old = valid_for(24h);
  machine.put(old);
  machine.mkcert_gives(valid_for(24h * 800));
  const auto disk = std::make_shared<FaultyFileSystem>(posix_file_system());
  disk->fail_every(FileOperation::allocate, no_space());
  CHECK(machine.ensure({.files = disk}).value()->chain_pem() == old.certificate_pem);
  CHECK(read_text(machine.folder() / "localhost-key.pem") == old.key_pem);
  CHECK(read_text(machine.folder() / "localhost-cert.pem") == old.certificate_pem);
}

TEST_CASE("ensure_localhost: files that cannot be read are errors of their own", "[certificate]") {
  const Machine machine;
  machine.put(valid_for(24h * 800));
  machine.mkcert_gives(valid_for(24h * 800));
  const auto [name, detail] =
      GENERATE(table<std::string, std::string>({{"localhost-cert.pem", "certificate.read_cert"},
                                                {"localhost-key.pem", "certificate.read_key"}}));
  write_text(machine.folder() / name, std::string(300 * 1024, 'x'));
  check_error(machine.ensure(), ErrorCode::io, detail);
  CHECK(machine.mkcert_runs() == 0);
}

TEST_CASE("ensure_localhost: another process at work is waited for, as long as the caller says",
          "[certificate]") {
  const Machine machine;
  machine.put({"", ""});
  const auto clock = std::make_shared<SystemClock>();
  const auto file = LockFile::open(machine.folder() / "lock", clock).value();
  const auto held = file->acquire(LockKind::write, "localhost", {.deadline = clock->steady_now()});
  REQUIRE(held);
  const auto manual = std::make_shared<ManualClock>(clock->now());
  check_error(machine.ensure({.clock = manual, .timeout = 20s}), ErrorCode::locked, "lock.held");
  CHECK(manual->slept() >= 19s);
  std::stop_source stop;
  stop.request_stop();
  check_error(machine.ensure({.clock = manual, .stop = stop.get_token()}), ErrorCode::cancelled,
              "lock.cancelled");
}

TEST_CASE("ensure_localhost: after a power cut at any moment the next run has a good pair",
          "[certificate]") {
  const Machine machine;
  machine.put(valid_for(24h));
  machine.mkcert_gives(valid_for(24h * 800));
  const auto disk = std::make_shared<RecordingFileSystem>(posix_file_system(), machine.folder());
  REQUIRE(machine.ensure({.files = disk}));
  const auto states = disk->crash_states();
  CHECK(states.size() > 5);
  for (const auto& state : states) {
    INFO(state.description);
    const auto folder = state.materialise();
    const auto loaded = TlsCertificate::ensure_localhost(folder.path());
    REQUIRE(loaded);
    CHECK((*loaded)->covers("localhost"));
  }
}

TEST_CASE("ensure_localhost: the real mkcert's certificate serves clients that trust its authority",
          "[certificate]") {
  const TemporaryFolder home;
  const Variable root("CAROOT", (home.path() / "ca").string());
  const auto certificate = TlsCertificate::ensure_localhost(home.path() / "tls").value();
  CHECK(certificate->expires_at() > SystemClock().now() + 24h * 365);
  const auto authority = read_text(home.path() / "ca" / "rootCA.pem").value();
  for (const auto host : {LoopbackHost::ipv4, LoopbackHost::ipv6, LoopbackHost::localhost}) {
    const bool six = host == LoopbackHost::ipv6;
    if (six && !has_ipv6_loopback()) continue;
    const auto receiver =
        LoopbackReceiver::open({.host = host, .certificate = certificate}).value();
    RawClient client(receiver->port(), six ? "::1" : "127.0.0.1");
    CHECK(client.start_tls(authority, six                               ? "::1"
                                      : host == LoopbackHost::localhost ? "localhost"
                                                                        : "127.0.0.1"));
  }
}
