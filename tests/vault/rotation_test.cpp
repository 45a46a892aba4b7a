// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.store.vault;
import latchkey.store.vault.file_vault;
import latchkey.store.vault.master_key;
import latchkey.store.vault.key_names;
import latchkey.store.vault.managed;
import latchkey.test.support;

// New data keys: nothing that an old one sealed becomes unreadable, whoever has the vault open.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

SecretBytes key(std::string_view text) {
  return SecretBytes(as_bytes(text));
}

struct Place {
  TemporaryFolder root;
  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>(TimePoint{} + 1000h);

  [[nodiscard]] std::shared_ptr<FileKeyVault> open(std::shared_ptr<FileSystem> files = {}) const {
    return open_at(root.path(), std::move(files));
  }
  [[nodiscard]] std::shared_ptr<FileKeyVault> open_at(
      const std::filesystem::path& folder, std::shared_ptr<FileSystem> files = {}) const {
    return FileKeyVault::open(folder / "vault", MasterKey::key_file(folder / "config" / "key"),
                              {.files = std::move(files), .random = {}, .clock = clock})
        .value();
  }
};

std::string text_of(KeyVault& vault, std::string_view id) {
  auto found = vault.get(id);
  if (!found) return outcome(found);
  return *found ? std::string(as_text((*found)->expose())) : "absent";
}

Bytes sealed(KeyVault& vault) {
  return vault.sealer()->seal(as_bytes("session"), "context").value();
}

std::string sealing(KeyVault& vault) {
  return outcome(vault.sealer()->seal(as_bytes("session"), "context"));
}

std::string opened(KeyVault& vault, const Bytes& box) {
  return outcome(vault.sealer()->open(box, "context"));
}

// "2 0 1": keys sealed with each data key, newest first.
std::string uses(FileKeyVault& vault) {
  std::string text;
  for (const auto& use : vault.status().value().data_keys) {
    text += (text.empty() ? "" : " ") + std::to_string(use.keys);
  }
  return text;
}

constexpr std::span<const std::string> kNothingElse{};

}  // namespace

TEST_CASE("rotation: the new data key seals, the old one goes on opening", "[rotation]") {
  const Place place;
  const auto vault = place.open();
  REQUIRE(vault->put("one", key("first")));
  const auto before = sealed(*vault);
  REQUIRE(outcome(vault->add_data_key()) == "ok");
  CHECK(uses(*vault) == "0 1");
  CHECK(text_of(*vault, "one") == "first");
  CHECK(opened(*vault, before) == "ok");
  CHECK_FALSE(vault->sealer()->is_current(before));
  const auto after = sealed(*vault);
  CHECK(sealed_with(after) != sealed_with(before));
  CHECK(sealed_with(after) == vault->status().value().data_keys.front().id);
  CHECK(vault->sealer()->is_current(after));
  REQUIRE(vault->put("two", key("second")));
  CHECK(uses(*vault) == "1 1");
  const auto again = place.open();
  CHECK(text_of(*again, "one") == "first");
  CHECK(opened(*again, before) == "ok");
  CHECK(opened(*again, after) == "ok");
}

TEST_CASE("rotation: keys are sealed anew with progress, and once", "[rotation]") {
  const Place place;
  const auto vault = place.open();
  for (const std::string_view id : {"a", "b", "c"}) REQUIRE(vault->put(id, key(id)));
  REQUIRE(vault->add_data_key());
  std::vector<std::pair<std::size_t, std::size_t>> seen;
  const auto first = vault->reseal_keys(
      [&](std::size_t done, std::size_t total) { seen.emplace_back(done, total); });
  REQUIRE(outcome(first) == "ok");
  CHECK(first->resealed == 3);
  CHECK(seen == std::vector<std::pair<std::size_t, std::size_t>>{{1, 3}, {2, 3}, {3, 3}});
  CHECK(uses(*vault) == "3 0");
  CHECK(vault->reseal_keys().value().resealed == 0);
  for (const std::string_view id : {"a", "b", "c"}) CHECK(text_of(*place.open(), id) == id);
}

TEST_CASE("rotation: stopped in the middle, it goes on where it was", "[rotation]") {
  const Place place;
  const auto vault = place.open();
  for (const std::string_view id : {"a", "b", "c"}) REQUIRE(vault->put(id, key(id)));
  REQUIRE(vault->add_data_key());
  std::stop_source stop;
  const auto first =
      vault->reseal_keys([&](std::size_t, std::size_t) { stop.request_stop(); }, stop.get_token());
  CHECK(outcome(first) == "cancelled vault.cancelled");
  CHECK(uses(*vault) == "1 2");
  CHECK(place.open()->reseal_keys().value().resealed == 2);
}

TEST_CASE("rotation: a key that cannot be read is reported, and stays as it is", "[rotation]") {
  const Place place;
  const auto vault = place.open();
  for (const std::string_view id : {"a", "b"}) REQUIRE(vault->put(id, key(id)));
  const auto file = place.root.path() / "vault" / key_file_name("a");
  auto text = read_text(file).value();
  text.back() = static_cast<char>(text.back() ^ 1);
  write_text(file, text);
  REQUIRE(vault->add_data_key());
  const auto done = vault->reseal_keys().value();
  CHECK(done.resealed == 1);
  REQUIRE(done.unreadable.size() == 1);
  CHECK(outcome(done.unreadable[0]) == "corrupt box.altered");
  CHECK(read_text(file) == text);
  CHECK(uses(*vault) == "1 1");  // its data key is still needed
  place.clock->advance(kDataKeyGrace);
  CHECK(vault->drop_old_data_keys(kNothingElse).value() == 0);
  write_text(file, "");
  CHECK(vault->status().value().unreadable.size() == 1);
  CHECK(outcome(vault->drop_old_data_keys(kNothingElse)) == "corrupt vault.key_truncated");
}

TEST_CASE("rotation: an object that had the vault open seals with the new data key at once",
          "[rotation]") {
  const Place place;
  const auto one = place.open(), other = place.open();
  const auto sealer = other->sealer();
  const auto before = sealed(*other);
  REQUIRE(one->put("id", key("mine")));
  REQUIRE(one->add_data_key());
  CHECK_FALSE(sealer->is_current(before));
  CHECK(one->sealer()->is_current(sealer->seal(as_bytes("x"), "").value()));
  REQUIRE(one->reseal_keys());
  CHECK(text_of(*other, "id") == "mine");
  CHECK(opened(*one, before) == "ok");
}

TEST_CASE("rotation: an object that was not told finds the new data key when it needs it",
          "[rotation]") {
  // As after a process that died between writing the header and announcing it.
  const Place place;
  const auto one = place.open();
  const auto other = place.open();
  REQUIRE(one->put("id", key("mine")));
  std::filesystem::remove(place.root.path() / "vault" / "vault.lock");
  const auto rotating = place.open();  // with another lock file, and so other counters
  REQUIRE(rotating->add_data_key());
  REQUIRE(rotating->reseal_keys());
  CHECK(text_of(*other, "id") == "mine");
  CHECK(opened(*other, sealed(*rotating)) == "ok");
}

TEST_CASE("rotation: after rewrap and rotation elsewhere, old boxes open and new ones say why not",
          "[rotation]") {
  const Place place;
  const auto one = place.open(), other = place.open();
  REQUIRE(one->put("id", key("mine")));
  const auto before = sealed(*one);
  REQUIRE(one->rewrap(MasterKey::key_file(place.root.path() / "config" / "second")));
  REQUIRE(one->add_data_key());
  REQUIRE(one->reseal_keys());
  CHECK(opened(*other, before) == "ok");
  CHECK(text_of(*other, "id") == "locked vault.rewrapped");
  CHECK(opened(*other, sealed(*one)) == "locked vault.rewrapped");
  // What it has to save is not lost: it is sealed with the data key that it has.
  CHECK(opened(*one, sealed(*other)) == "ok");
}

TEST_CASE("rotation: whoever cannot read the header any more seals for a while, and opens for ever",
          "[rotation]") {
  const Place place;
  const auto one = place.open(), other = place.open();
  REQUIRE(one->put("id", key("mine")));
  const auto before = sealed(*other);
  place.clock->advance(100h);
  CHECK(sealing(*other) == "ok");  // a look that found nothing new is a good one
  REQUIRE(one->rewrap(MasterKey::key_file(place.root.path() / "config" / "second")));
  place.clock->advance(kSealingGrace - 1ms);
  CHECK(sealing(*other) == "ok");
  place.clock->advance(1ms);
  CHECK(sealing(*other) == "locked vault.rewrapped");
  CHECK(outcome(other->put("other", key("theirs"))) == "locked vault.rewrapped");
  CHECK(opened(*other, before) == "ok");
  CHECK(text_of(*other, "id") == "mine");
  CHECK(sealing(*one) == "ok");
}

TEST_CASE("rotation: a rewrap found long after the last look refuses to seal at once",
          "[rotation]") {
  // Between the two, its data key may have been replaced and dropped.
  const Place place;
  const auto one = place.open(), other = place.open();
  REQUIRE(sealing(*other) == "ok");
  REQUIRE(one->rewrap(MasterKey::key_file(place.root.path() / "config" / "second")));
  REQUIRE(one->add_data_key());
  place.clock->advance(kDataKeyGrace);
  REQUIRE(one->drop_old_data_keys(kNothingElse).value() == 1);
  CHECK(sealing(*other) == "locked vault.rewrapped");
}

TEST_CASE("rotation: a header that cannot be read for too long, and is back, seals again",
          "[rotation]") {
  const Place place;
  const auto one = place.open(), other = place.open();
  const auto header = place.root.path() / "vault" / "vault.header";
  const auto aside = place.root.path() / "header";
  REQUIRE(one->add_data_key());
  std::filesystem::rename(header, aside);
  CHECK(sealing(*other) == "ok");
  place.clock->advance(kSealingGrace);
  CHECK(sealing(*other) == "corrupt vault.header_missing");
  std::filesystem::rename(aside, header);
  CHECK(sealing(*other) == "ok");
  CHECK(one->sealer()->is_current(sealed(*other)));
}

TEST_CASE("rotation: a box of another vault stays a wrong key", "[rotation]") {
  const Place place, stranger;
  CHECK(opened(*place.open(), sealed(*stranger.open())) == "wrong_key box.unknown_key");
}

TEST_CASE("rotation: old data keys are dropped when nothing needs them, and not sooner",
          "[rotation]") {
  const Place place;
  const auto vault = place.open();
  REQUIRE(vault->put("id", key("mine")));
  const auto box = sealed(*vault);
  REQUIRE(vault->add_data_key());
  place.clock->advance(kDataKeyGrace - 1s);
  const auto early = vault->drop_old_data_keys(kNothingElse);
  CHECK(outcome(early) == "locked vault.rotated_recently");
  CHECK(early.error().retry_after == 1s);
  place.clock->advance(1s);
  CHECK(vault->drop_old_data_keys(kNothingElse).value() == 0);  // "id" needs it
  REQUIRE(vault->reseal_keys());
  const std::vector<std::string> elsewhere{sealed_with(box)};
  CHECK(vault->drop_old_data_keys(elsewhere).value() == 0);
  CHECK(opened(*vault, box) == "ok");
  CHECK(vault->drop_old_data_keys(kNothingElse).value() == 1);
  CHECK(uses(*vault) == "1");
  CHECK(text_of(*place.open(), "id") == "mine");
  CHECK(opened(*place.open(), box) == "wrong_key box.unknown_key");
  CHECK(vault->drop_old_data_keys(kNothingElse).value() == 0);
}

TEST_CASE("rotation: a second one starts the time anew", "[rotation]") {
  const Place place;
  const auto vault = place.open();
  REQUIRE(vault->add_data_key());
  place.clock->advance(kDataKeyGrace);
  REQUIRE(vault->add_data_key());
  CHECK(outcome(vault->drop_old_data_keys(kNothingElse)) == "locked vault.rotated_recently");
  place.clock->advance(kDataKeyGrace);
  CHECK(vault->drop_old_data_keys(kNothingElse).value() == 2);
}

TEST_CASE("rotation: without a note that can be believed, the time runs from now", "[rotation]") {
  const Place place;
  const auto vault = place.open();
  const auto note = place.root.path() / "vault" / "vault.rotation";
  REQUIRE(vault->add_data_key());
  const auto old_note = read_text(note).value();
  for (const std::optional<std::string>& damaged :
       {std::optional<std::string>(), std::optional<std::string>(""),
        std::optional<std::string>(old_note.substr(0, 40)),
        std::optional<std::string>(std::string(old_note.size(), 'x')),
        std::optional<std::string>(std::string(5000, 'x'))}) {
    place.clock->advance(kDataKeyGrace);
    std::filesystem::remove(note);
    if (damaged) write_text(note, *damaged);
    CHECK(outcome(vault->drop_old_data_keys(kNothingElse)) == "locked vault.rotated_recently");
  }
  // The clock was set back by hours.
  place.clock->advance(-10h);
  CHECK(outcome(vault->drop_old_data_keys(kNothingElse)) == "locked vault.rotated_recently");
  place.clock->advance(kDataKeyGrace);
  CHECK(vault->drop_old_data_keys(kNothingElse).value() == 1);
}

TEST_CASE("rotation: there are 32 data keys at most", "[rotation]") {
  const Place place;
  const auto vault = place.open();
  const auto box = sealed(*vault);
  for (int i = 0; i < 31; ++i) REQUIRE(vault->add_data_key());
  CHECK(outcome(vault->add_data_key()) == "conflict vault.too_many_data_keys");
  CHECK(opened(*place.open(), box) == "ok");
}

TEST_CASE("rotation: a power cut at any moment loses no key and no session", "[rotation]") {
  const Place place;
  const auto files = std::make_shared<RecordingFileSystem>(posix_file_system(), place.root.path());
  const auto vault = place.open(files);
  REQUIRE(vault->put("one", key("first")));
  REQUIRE(vault->put("two", key("second")));
  const auto old_box = sealed(*vault);
  const auto before = files->changes();
  REQUIRE(vault->add_data_key());
  const auto added = files->changes();
  const auto new_box = sealed(*vault);
  REQUIRE(vault->reseal_keys());
  place.clock->advance(kDataKeyGrace);
  const auto resealed = files->changes();
  REQUIRE(vault->drop_old_data_keys(kNothingElse).value() == 1);
  for (const auto& state : files->crash_states()) {
    if (state.changes < before) continue;
    INFO("after " << state.changes << " changes, " << state.description);
    const auto disk = state.materialise();
    const auto again = place.open_at(disk.path());
    CHECK(text_of(*again, "one") == "first");
    CHECK(text_of(*again, "two") == "second");
    if (state.changes <= resealed) CHECK(opened(*again, old_box) == "ok");
    if (state.changes >= added) CHECK(opened(*again, new_box) == "ok");
    CHECK(outcome(again->reseal_keys()) == "ok");
  }
}

TEST_CASE("rotation: nothing is sealed with a data key whose header may not be on the disk",
          "[rotation]") {
  const Place place;
  const auto faulty = std::make_shared<FaultyFileSystem>(posix_file_system());
  const auto rotating = place.open(), user = place.open(faulty);
  const auto before = sealed_with(sealed(*user));
  // The header is in place for everybody to see, and this process cannot make sure that it stays.
  REQUIRE(rotating->add_data_key());
  faulty->fail_every(FileOperation::sync_folder, no_space());
  CHECK(sealed_with(sealed(*user)) == before);
  faulty->heal();
  CHECK(sealed_with(sealed(*user)) != before);
}

TEST_CASE("rotation: beside threads that seal, open and put, nothing is lost",
          "[rotation][concurrency]") {
  const TemporaryFolder root;
  const auto open = [&] {
    return FileKeyVault::open(root.path() / "vault", MasterKey::key_file(root.path() / "key"))
        .value();
  };
  const auto vault = open();
  std::vector<std::vector<Bytes>> boxes(4);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      threads.emplace_back([&, i] {
        const auto own = open();
        for (int n = 0; n < 20; ++n) {
          boxes[i].push_back(sealed(*own));
          static_cast<void>(own->put("k" + std::to_string(i) + "-" + std::to_string(n), key("k")));
        }
      });
    }
    for (int n = 0; n < 5; ++n) {
      CHECK(outcome(vault->add_data_key()) == "ok");
      CHECK(outcome(vault->reseal_keys()) == "ok");
    }
  }
  const auto again = open();
  for (const auto& each : boxes) {
    for (const auto& box : each) CHECK(opened(*again, box) == "ok");
  }
  CHECK(again->list().value().size() == 80);
  CHECK(outcome(again->reseal_keys()) == "ok");
  CHECK(again->status().value().data_keys.front().keys == 80);
}
