// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.store.vault;
import latchkey.store.vault.aead;
import latchkey.test.support;

using namespace latchkey;
using test::outcome;

namespace {

constexpr std::size_t kOverhead = 1 + 8 + 24 + 16;

SecretBytes data_key(unsigned char fill) {
  SecretBytes key(32);
  for (auto& byte : key.mutable_span()) byte = fill;
  return key;
}

std::shared_ptr<Sealer> sealer_with(std::vector<SecretBytes> keys,
                                    std::string_view purpose = kSessionsPurpose) {
  return make_sealer(keys, purpose, std::make_shared<SystemRandom>());
}

std::vector<SecretBytes> keys(SecretBytes first) {
  std::vector<SecretBytes> list;
  list.push_back(std::move(first));
  return list;
}

std::string open_outcome(Sealer& sealer, std::span<const unsigned char> box,
                         std::string_view context = "context") {
  return outcome(sealer.open(box, context));
}

}  // namespace

TEST_CASE("sealer: what was sealed opens, empty and large texts too", "[sealer]") {
  const auto sealer = sealer_with(keys(data_key(1)));
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{64}, std::size_t{200'000}}) {
    const std::string text(size, 'x');
    const auto box = sealer->seal(as_bytes(text), "context").value();
    CHECK(box.size() == size + kOverhead);
    CHECK(box[0] == 1);
    CHECK(as_text(sealer->open(box, "context").value().expose()) == text);
  }
}

TEST_CASE("sealer: every changed byte of a box is noticed", "[sealer]") {
  const auto sealer = sealer_with(keys(data_key(1)));
  const auto box = sealer->seal(as_bytes("secret"), "context").value();
  for (std::size_t i = 0; i < box.size(); ++i) {
    for (unsigned char mask = 1; mask != 0; mask = static_cast<unsigned char>(mask << 1)) {
      INFO(i);
      auto changed = box;
      changed[i] ^= mask;
      const auto result = open_outcome(*sealer, changed);
      if (i == 0) {
        CHECK(result == (mask == 1 ? "wrong_key box.unsealed" : "schema_too_new box.version"));
      } else if (i < 9) {
        CHECK(result == "wrong_key box.unknown_key");
      } else {
        CHECK(result == "corrupt box.altered");
      }
    }
  }
}

TEST_CASE("sealer: a box cut at any length is noticed, and one with more at its end", "[sealer]") {
  const auto sealer = sealer_with(keys(data_key(1)));
  auto box = sealer->seal(as_bytes("secret"), "context").value();
  for (std::size_t size = 0; size < box.size(); ++size) {
    CHECK(open_outcome(*sealer, std::span(box).first(size)) ==
          (size < kOverhead ? "corrupt box.truncated" : "corrupt box.altered"));
  }
  box.push_back(0);
  CHECK(open_outcome(*sealer, box) == "corrupt box.altered");
}

TEST_CASE("sealer: a box opens in its own context only", "[sealer]") {
  const auto sealer = sealer_with(keys(data_key(1)));
  const auto box = sealer->seal(as_bytes("secret"), "context").value();
  for (const std::string_view other : {"", "contex", "context ", "Context"}) {
    CHECK(open_outcome(*sealer, box, other) == "corrupt box.altered");
  }
}

TEST_CASE("sealer: another data key is a wrong key", "[sealer]") {
  const auto box = sealer_with(keys(data_key(1)))->seal(as_bytes("secret"), "context").value();
  CHECK(open_outcome(*sealer_with(keys(data_key(2))), box) == "wrong_key box.unknown_key");
}

TEST_CASE("sealer: a box of the same data key for another purpose does not open", "[sealer]") {
  const auto box =
      sealer_with(keys(data_key(1)), kSessionsPurpose)->seal(as_bytes("s"), "").value();
  CHECK(open_outcome(*sealer_with(keys(data_key(1)), kVaultKeysPurpose), box, "") ==
        "corrupt box.altered");
}

TEST_CASE("sealer: with several data keys it seals with the first and opens with each",
          "[sealer]") {
  const auto old_box = sealer_with(keys(data_key(1)))->seal(as_bytes("old"), "").value();
  auto both = keys(data_key(2));
  both.push_back(data_key(1));
  const auto sealer = sealer_with(std::move(both));
  const auto new_box = sealer->seal(as_bytes("new"), "").value();
  CHECK(as_text(sealer->open(old_box, "").value().expose()) == "old");
  CHECK(as_text(sealer->open(new_box, "").value().expose()) == "new");
  CHECK(open_outcome(*sealer_with(keys(data_key(1))), new_box, "") == "wrong_key box.unknown_key");
  CHECK(open_outcome(*sealer_with(keys(data_key(2))), new_box, "") == "ok");
}

TEST_CASE("sealer: a newer box says so, whatever else is in it", "[sealer]") {
  const auto sealer = sealer_with(keys(data_key(1)));
  for (const unsigned char version : Bytes{2, 3, 255}) {
    CHECK(open_outcome(*sealer, Bytes{version}) == "schema_too_new box.version");
  }
}

TEST_CASE("sealer: lives on after its vault is gone", "[sealer]") {
  auto vault = memory_vault();
  const auto sealer = vault->sealer();
  vault.reset();
  const auto box = sealer->seal(as_bytes("secret"), "").value();
  CHECK(as_text(sealer->open(box, "").value().expose()) == "secret");
}

TEST_CASE("aead: agrees with the published XChaCha20-Poly1305 vector", "[sealer]") {
  // draft-irtf-cfrg-xchacha-03, appendix A.3.1.
  const auto key =
      hex_decode("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f").value();
  const auto nonce = hex_decode("404142434445464748494a4b4c4d4e4f5051525354555657").value();
  const auto associated = hex_decode("50515253c0c1c2c3c4c5c6c7").value();
  const std::string_view plaintext =
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
      "sunscreen would be it.";
  std::array<unsigned char, kNonceSize> fixed{};
  std::copy(nonce.begin(), nonce.end(), fixed.begin());
  const auto sealed = aead_seal(SecretBytes(key), as_bytes(plaintext), fixed, associated);
  const std::string hex = hex_encode(std::span(sealed).subspan(kNonceSize));
  CHECK(hex.substr(0, 32) == "bd6d179d3e83d43b9576579493c0e939");
  CHECK(hex.substr(hex.size() - 32) == "c0875924c1c7987947deafd8780acf49");
  CHECK(as_text(aead_open(SecretBytes(key), sealed, associated).value().expose()) == plaintext);
}

TEST_CASE("aead: a text too short to hold a tag is refused", "[sealer]") {
  CHECK(outcome(aead_open(data_key(1), Bytes(kNonceSize + kTagSize - 1), {})) ==
        "corrupt box.altered");
}
