// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

import latchkey.core;
import latchkey.dpop;
import latchkey.test.openssl;

using namespace latchkey;
using latchkey::test::OpensslTool;

namespace {

const std::shared_ptr<Random> kRandom = std::make_shared<SystemRandom>();

// RFC 7515, appendix A.3, in hexadecimal.
constexpr std::string_view kD = "8e9b109e719098bf980487df1f5d77e9cb29606ebed2263b5f57c213df84f4b2";
constexpr std::string_view kX = "7fcdce2770f6c45d4183cbee6fdb4b7b580733357be9ef13bacf6e3c7bd15445";
constexpr std::string_view kY = "c7f144cd1bbd9b7e872cdfedb9eeb9f4b3695d6ea90b24ad8a4623288588e5ad";
constexpr std::string_view kOrder =
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
constexpr std::string_view kJkt = "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U";

SecretBytes secret(std::string_view text) {
  return SecretBytes(as_bytes(text));
}

std::string detail_of(const Result<std::shared_ptr<P256DpopProver>>& made) {
  if (made) return "accepted";
  CHECK(made.error().code == ErrorCode::invalid_key);
  CHECK(made.error().message.find(kD) == std::string::npos);
  return made.error().detail;
}

std::string sec1(std::string_view hex) {
  return detail_of(P256DpopProver::from_sec1(secret(as_text(hex_decode(hex).value())), kRandom));
}

std::string pkcs8(std::string_view hex) {
  return detail_of(P256DpopProver::from_pkcs8(secret(as_text(hex_decode(hex).value())), kRandom));
}

std::string hex_byte(std::size_t value) {
  return hex_encode(Bytes{static_cast<unsigned char>(value)});
}

// A DER element with content in hexadecimal; up to 255 bytes.
std::string element(std::string_view tag, const std::string& content) {
  const auto size = content.size() / 2;
  return std::string(tag) + (size < 128 ? "" : "81") + hex_byte(size) + content;
}

const std::string kCurve = element("06", "2a8648ce3d030107");
const std::string kEcPublicKey = element("06", "2a8648ce3d0201");

std::string point(std::string_view x = kX, std::string_view y = kY) {
  return "04" + std::string(x) + std::string(y);
}

std::string public_part(const std::string& octets) {
  return element("a1", element("03", "00" + octets));
}

std::string ec_key(std::string_view d, const std::string& rest) {
  return element("30", "020101" + element("04", std::string(d)) + rest);
}

std::string ec_key(std::string_view d, std::string_view x, std::string_view y) {
  return ec_key(d, element("a0", kCurve) + public_part(point(x, y)));
}

std::string wrapped(const std::string& key, const std::string& algorithm = kEcPublicKey + kCurve,
                    const std::string& rest = "", const std::string& version = "020100") {
  return element("30", version + element("30", algorithm) + element("04", key) + rest);
}

}  // namespace

TEST_CASE("key files: SEC1 with its curve and point", "[key_file]") {
  const auto der = hex_decode(ec_key(kD, kX, kY)).value();
  CHECK(P256DpopProver::from_sec1(secret(as_text(der)), kRandom).value()->jkt() == kJkt);
  CHECK(sec1(ec_key(kD, element("a0", kCurve))) == "accepted");
}

TEST_CASE("key files: PKCS#8 with and without the optional parts", "[key_file]") {
  CHECK(pkcs8(wrapped(ec_key(kD, kX, kY))) == "accepted");
  CHECK(pkcs8(wrapped(ec_key(kD, public_part(point())))) == "accepted");
  CHECK(pkcs8(wrapped(ec_key(kD, ""))) == "accepted");
  CHECK(pkcs8(wrapped(ec_key(kD, ""), kEcPublicKey + kCurve, "a000")) == "accepted");
  CHECK(pkcs8(wrapped(ec_key(kD, ""), kEcPublicKey + kCurve, element("81", "00" + point()),
                      "020101")) == "accepted");
}

TEST_CASE("key files: two public keys that differ are refused", "[key_file]") {
  const auto second = element("81", "00" + point(kY, kX));
  CHECK(pkcs8(wrapped(ec_key(kD, ""), kEcPublicKey + kCurve, second, "020101")) == "key.off_curve");
  CHECK(pkcs8(wrapped(ec_key(kD, kX, kY), kEcPublicKey + kCurve, second, "020101")) ==
        "key.not_pkcs8");
}

TEST_CASE("key files: a compressed point is compared with what d gives", "[key_file]") {
  const auto with = [](const std::string& octets) {
    return sec1(ec_key(kD, element("a0", kCurve) + public_part(octets)));
  };
  CHECK(with("03" + std::string(kX)) == "accepted");  // y is odd
  CHECK(with("02" + std::string(kX)) == "key.mismatch");
  CHECK(with("03" + std::string(kY)) == "key.mismatch");
  CHECK(with("07" + std::string(kX) + std::string(kY)) == "key.off_curve");
  CHECK(with("04" + std::string(kX)) == "key.off_curve");
  CHECK(with("00") == "key.off_curve");
}

TEST_CASE("key files: every cut and anything after the end are refused", "[key_file]") {
  const auto der = ec_key(kD, kX, kY), outer = wrapped(der);
  for (std::size_t size = 0; size < der.size(); size += 2)
    CHECK(sec1(der.substr(0, size)) == "key.not_sec1");
  for (std::size_t size = 0; size < outer.size(); size += 2) {
    CHECK(pkcs8(outer.substr(0, size)) == "key.not_pkcs8");
  }
  CHECK(sec1(der + "00") == "key.not_sec1");
  CHECK(pkcs8(outer + "00") == "key.not_pkcs8");
  CHECK(pkcs8(wrapped(der + "00")) == "key.not_pkcs8");
  CHECK(sec1(ec_key(kD, element("a0", kCurve) + "0500")) == "key.not_sec1");
  CHECK(sec1(ec_key(kD, element("a0", kCurve + "0500"))) == "key.not_sec1");
  CHECK(pkcs8(wrapped(der, kEcPublicKey + kCurve + "0500")) == "key.not_pkcs8");
}

TEST_CASE("key files: lengths that are not the shortest are refused", "[key_file]") {
  const auto body = ec_key(kD, kX, kY).substr(4);
  CHECK(sec1("3077" + body) == "accepted");
  for (const std::string head :
       {"308177", "30820077", "3083000077", "3080", "308400000077", "30ff77"}) {
    CHECK(sec1(head + body) == "key.not_sec1");
  }
}

TEST_CASE("key files: other versions and lengths of d are refused", "[key_file]") {
  CHECK(sec1(element("30", "020100" + element("04", std::string(kD)) + element("a0", kCurve))) ==
        "key.not_sec1");
  CHECK(sec1(ec_key(kD.substr(2), kX, kY)) == "key.not_sec1");
  CHECK(sec1(ec_key("00" + std::string(kD), kX, kY)) == "key.not_sec1");
  CHECK(pkcs8(wrapped(ec_key(kD, ""), kEcPublicKey + kCurve, "", "020102")) == "key.not_pkcs8");
}

TEST_CASE("key files: d must be between 1 and n - 1", "[key_file]") {
  std::string last(kOrder), beyond(kOrder);
  last.back() = '0';
  beyond.back() = '2';
  const auto with = [](std::string_view d) { return sec1(ec_key(d, element("a0", kCurve))); };
  CHECK(with(std::string(63, '0') + "1") == "accepted");
  CHECK(with(last) == "accepted");
  CHECK(with(kOrder) == "key.scalar_range");
  CHECK(with(beyond) == "key.scalar_range");
  CHECK(with(std::string(64, '0')) == "key.scalar_range");
  CHECK(with(std::string(64, 'f')) == "key.scalar_range");
}

TEST_CASE("key files: the point of d = 1 is the generator", "[key_file]") {
  constexpr std::string_view gx =
      "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
  constexpr std::string_view gy =
      "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
  CHECK(sec1(ec_key(std::string(63, '0') + "1", gx, gy)) == "accepted");
  CHECK(sec1(ec_key(std::string(63, '0') + "2", gx, gy)) == "key.mismatch");
}

TEST_CASE("key files: points off the curve and of another key are told apart", "[key_file]") {
  std::string y(kY);
  y.back() = 'c';
  CHECK(sec1(ec_key(kD, kX, y)) == "key.off_curve");
  CHECK(sec1(ec_key(kD, std::string(64, '0'), std::string(64, '0'))) == "key.off_curve");
  CHECK(sec1(ec_key(kD, std::string(64, 'f'), kY)) == "key.off_curve");
  std::string d(kD);
  d.back() = '3';
  CHECK(sec1(ec_key(d, kX, kY)) == "key.mismatch");
  CHECK(pkcs8(wrapped(ec_key(d, kX, kY))) == "key.mismatch");
}

TEST_CASE("key files: other types and curves are named as such", "[key_file]") {
  const auto p384 = element("06", "2b81040022"), rsa = element("06", "2a864886f70d010101");
  CHECK(sec1(ec_key(kD, element("a0", p384))) == "key.wrong_curve");
  CHECK(sec1(ec_key(kD, element("a0", element("30", "")))) == "key.wrong_curve");
  CHECK(sec1(ec_key(kD, "")) == "key.wrong_curve");
  CHECK(pkcs8(wrapped(ec_key(kD, ""), kEcPublicKey + p384)) == "key.wrong_curve");
  CHECK(pkcs8(wrapped(ec_key(kD, ""), kEcPublicKey)) == "key.wrong_curve");
  CHECK(pkcs8(wrapped("0500", rsa + "0500")) == "key.wrong_type");
}

TEST_CASE("key files: what the openssl command writes is read", "[key_file]") {
  const OpensslTool tool;
  REQUIRE(tool.run("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out p8.pem"));
  REQUIRE(tool.run("pkcs8 -topk8 -nocrypt -in p8.pem -outform DER -out p8.der"));
  REQUIRE(tool.run("ec -in p8.pem -out s1.pem"));
  REQUIRE(tool.run("ec -in p8.pem -outform DER -out s1.der"));
  REQUIRE(tool.run("ec -in p8.pem -conv_form compressed -out compressed.pem"));
  REQUIRE(tool.run("ec -in p8.pem -no_public -out no_public.pem"));
  const auto jkt = P256DpopProver::from_pkcs8(secret(tool.read("p8.pem")), kRandom).value()->jkt();
  CHECK(P256DpopProver::from_pkcs8(secret(tool.read("p8.der")), kRandom).value()->jkt() == jkt);
  for (const char* name : {"s1.pem", "s1.der", "compressed.pem", "no_public.pem"}) {
    CHECK(P256DpopProver::from_sec1(secret(tool.read(name)), kRandom).value()->jkt() == jkt);
  }
}

TEST_CASE("key files: a SEC1 file may begin with its parameters", "[key_file]") {
  const OpensslTool tool;
  REQUIRE(tool.run("ecparam -name prime256v1 -genkey -out both.pem"));
  REQUIRE(tool.read("both.pem").starts_with("-----BEGIN EC PARAMETERS-----"));
  CHECK(P256DpopProver::from_sec1(secret(tool.read("both.pem")), kRandom).has_value());
  CHECK(detail_of(P256DpopProver::from_pkcs8(secret(tool.read("both.pem")), kRandom)) ==
        "key.not_pkcs8");
}

TEST_CASE("key files: what latchkey writes, the openssl command finds to be the same key",
          "[key_file]") {
  const OpensslTool tool;
  const auto prover = P256DpopProver::generate(kRandom).value();
  tool.write("p8.pem", prover->to_pkcs8_pem().value().expose());
  tool.write("s1.pem", prover->to_sec1_pem().value().expose());
  REQUIRE(tool.run("pkey -in p8.pem -check -noout >checked"));
  REQUIRE(tool.run("pkey -in p8.pem -out p8-again.pem"));
  REQUIRE(tool.run("ec -in s1.pem -check -out s1-again.pem"));
  CHECK(tool.read("p8-again.pem") == tool.read("p8.pem"));
  CHECK(tool.read("s1-again.pem") == tool.read("s1.pem"));
}

TEST_CASE("key files: encrypted keys are told apart from broken ones", "[key_file]") {
  const OpensslTool tool;
  REQUIRE(tool.run("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem"));
  REQUIRE(tool.run("pkcs8 -topk8 -in key.pem -passout pass:x -out e8.pem"));
  REQUIRE(tool.run("pkcs8 -topk8 -in key.pem -passout pass:x -outform DER -out e8.der"));
  REQUIRE(tool.run("ec -in key.pem -aes128 -passout pass:x -out es1.pem"));
  CHECK(detail_of(P256DpopProver::from_pkcs8(secret(tool.read("e8.pem")), kRandom)) ==
        "key.encrypted");
  CHECK(detail_of(P256DpopProver::from_pkcs8(secret(tool.read("e8.der")), kRandom)) ==
        "key.encrypted");
  CHECK(detail_of(P256DpopProver::from_sec1(secret(tool.read("es1.pem")), kRandom)) ==
        "key.encrypted");
}

TEST_CASE("key files: keys of other kinds from the openssl command are refused", "[key_file]") {
  const OpensslTool tool;
  REQUIRE(tool.run("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out p384.pem"));
  REQUIRE(tool.run("ec -in p384.pem -out p384-sec1.pem"));
  REQUIRE(tool.run("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem"));
  REQUIRE(tool.run("genpkey -algorithm ED25519 -out ed.pem"));
  REQUIRE(tool.run("pkey -in p384.pem -pubout -out public.pem"));
  const auto p8 = [&](const char* name) {
    return detail_of(P256DpopProver::from_pkcs8(secret(tool.read(name)), kRandom));
  };
  CHECK(p8("p384.pem") == "key.wrong_curve");
  CHECK(p8("rsa.pem") == "key.wrong_type");
  CHECK(p8("ed.pem") == "key.wrong_type");
  CHECK(p8("public.pem") == "key.not_pkcs8");
  CHECK(p8("p384-sec1.pem") == "key.not_pkcs8");
  CHECK(detail_of(P256DpopProver::from_sec1(secret(tool.read("p384-sec1.pem")), kRandom)) ==
        "key.wrong_curve");
  CHECK(detail_of(P256DpopProver::from_sec1(secret(tool.read("p384.pem")), kRandom)) ==
        "key.not_sec1");
}

TEST_CASE("key files: PEM must be one whole block and nothing after it", "[key_file]") {
  const auto prover = P256DpopProver::generate(kRandom).value();
  const auto exported = prover->to_pkcs8_pem().value();
  const std::string pem(exported.expose());
  const auto read = [](const std::string& text) {
    return detail_of(P256DpopProver::from_pkcs8(secret(text), kRandom));
  };
  CHECK(read(pem) == "accepted");
  CHECK(read("\r\n  " + pem + " \n") == "accepted");
  CHECK(read("") == "key.not_pkcs8");
  CHECK(read("hello " + pem) == "key.not_pkcs8");
  CHECK(read(pem + "x") == "key.not_pkcs8");
  CHECK(read(pem + pem) == "key.not_pkcs8");
  CHECK(read(pem.substr(0, pem.size() - 8)) == "key.not_pkcs8");
  CHECK(read(std::string(pem).insert(60, "=")) == "key.not_pkcs8");
  CHECK(read(std::string(pem).insert(60, "!")) == "key.not_pkcs8");
  CHECK(read(std::string(pem).erase(60, 1)) == "key.not_pkcs8");
  CHECK(read("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n") == "key.not_pkcs8");
  CHECK(read("-----BEGIN ") == "key.not_pkcs8");
  CHECK(read(std::string(20'000, '-')) == "key.not_pkcs8");
}
