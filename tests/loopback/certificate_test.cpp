// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

import latchkey.core;
import latchkey.loopback.certificate;
import latchkey.test.certificate;
import latchkey.test.folder;
import latchkey.test.openssl;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;
using Loaded = Result<std::shared_ptr<const TlsCertificate>>;

namespace {

bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

TimePoint now() {
  return SystemClock().now();
}

Loaded load(const std::string& chain, const std::string& key, TimePoint at = now()) {
  return TlsCertificate::from_pem(chain, SecretString(key), at);
}

const Identity& localhost() {
  static const Identity made = Authority().issue({"localhost", "127.0.0.1", "::1"});
  return made;
}

void check_error(const Loaded& loaded, ErrorCode code, std::string_view detail) {
  REQUIRE_FALSE(loaded);
  INFO(loaded.error().message);
  CHECK(loaded.error().code == code);
  CHECK(loaded.error().detail == detail);
  CHECK_FALSE(holds(loaded.error().message, "PRIVATE"));
  CHECK_FALSE(holds(loaded.error().message, "-----"));
}

}  // namespace

TEST_CASE("from_pem: LA-51, LA-52: a pair is taken, with its names and its end", "[certificate]") {
  const auto loaded = load(localhost().certificate_pem, localhost().key_pem);
  REQUIRE(loaded);
  const auto& certificate = **loaded;
  CHECK(certificate.chain_pem() == localhost().certificate_pem);
  CHECK(certificate.key_pem().expose() == localhost().key_pem);
  for (const auto* host : {"localhost", "127.0.0.1", "::1"}) CHECK(certificate.covers(host));
  for (const auto* host : {"", "leaf", "127.0.0.2", "[::1]", "localhost.example", "LOCALHOST"}) {
    INFO(host);
    CHECK_FALSE(certificate.covers(host));
  }
  CHECK(certificate.expires_at() > now() + 23h);
  CHECK(certificate.expires_at() <= now() + 24h);
}

TEST_CASE("from_pem: a chain is taken without what stands beside its certificates",
          "[certificate]") {
  const Authority authority;
  const auto pair = authority.issue({"localhost"});
  const auto loaded = load("the server's:\n" + pair.certificate_pem + "its authority's:\n" +
                               authority.certificate_pem() + "the end\n",
                           pair.key_pem);
  REQUIRE(loaded);
  CHECK((*loaded)->chain_pem() == pair.certificate_pem + authority.certificate_pem());
  CHECK((*loaded)->covers("localhost"));
}

TEST_CASE("from_pem: a key that stands among the certificates is not kept as one of them",
          "[certificate]") {
  const auto both = GENERATE(localhost().certificate_pem + localhost().key_pem,
                             localhost().key_pem + localhost().certificate_pem);
  const auto loaded = load(both, both);
  REQUIRE(loaded);
  CHECK((*loaded)->chain_pem() == localhost().certificate_pem);
}

TEST_CASE("from_pem: LA-52: a text without a certificate is an error of its own", "[certificate]") {
  const std::string chain = GENERATE_COPY(std::string(), std::string("nothing"),
                                          localhost().key_pem, std::string(1000, '\0'));
  check_error(load(chain, localhost().key_pem), ErrorCode::invalid_argument,
              "certificate.no_certificates");
}

TEST_CASE("from_pem: LA-52: a certificate that does not parse is an error of its own",
          "[certificate]") {
  auto flipped = localhost().certificate_pem;
  flipped[flipped.size() / 2] = '!';
  const auto& good = localhost().certificate_pem;
  const std::string chain = GENERATE_COPY(
      flipped, good.substr(0, good.size() / 2), good + good.substr(0, good.size() / 2),
      std::string("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
  check_error(load(chain, localhost().key_pem), ErrorCode::invalid_argument,
              "certificate.parse_cert");
}

TEST_CASE("from_pem: LA-52: a key that does not parse is an error of its own", "[certificate]") {
  const auto& good = localhost().key_pem;
  auto flipped = good;
  flipped[good.size() / 2] = '!';
  const std::string key =
      GENERATE_COPY(std::string(), std::string("nothing"), flipped, good.substr(0, good.size() / 2),
                    localhost().certificate_pem);
  check_error(load(localhost().certificate_pem, key), ErrorCode::invalid_key,
              "certificate.parse_key");
}

TEST_CASE("from_pem: a key with a pass phrase is refused, and nobody is asked for it",
          "[certificate]") {
  const OpensslTool tool;
  tool.write("key.pem", localhost().key_pem);
  REQUIRE(tool.run("pkcs8 -topk8 -in key.pem -out locked.pem -passout pass:secret"));
  check_error(load(localhost().certificate_pem, tool.read("locked.pem")), ErrorCode::invalid_key,
              "certificate.parse_key");
}

TEST_CASE("from_pem: a key of another certificate is an error of its own", "[certificate]") {
  const Authority authority;
  const auto other = authority.issue({"localhost"});
  check_error(load(localhost().certificate_pem, other.key_pem), ErrorCode::invalid_key,
              "certificate.key_mismatch");
  // The server's own must come first.
  const auto pair = authority.issue({"localhost"});
  check_error(load(authority.certificate_pem() + pair.certificate_pem, pair.key_pem),
              ErrorCode::invalid_key, "certificate.key_mismatch");
}

TEST_CASE("from_pem: it is valid from its first second to before its last", "[certificate]") {
  const auto& [chain, key] = localhost();
  const auto until = load(chain, key).value()->expires_at();
  CHECK(load(chain, key, until - 1s));
  check_error(load(chain, key, until), ErrorCode::invalid_argument, "certificate.expired");
  check_error(load(chain, key, until + 1s), ErrorCode::invalid_argument, "certificate.expired");
  const auto from = until - 25h;
  CHECK(load(chain, key, from));
  check_error(load(chain, key, from - 1s), ErrorCode::invalid_argument,
              "certificate.not_yet_valid");
}

TEST_CASE("from_pem_files: LA-53: reads the two files, or twice the same one", "[certificate]") {
  const TemporaryFolder folder;
  write_text(folder.path() / "cert.pem", localhost().certificate_pem);
  write_text(folder.path() / "key.pem", localhost().key_pem);
  write_text(folder.path() / "both.pem", localhost().certificate_pem + localhost().key_pem);
  ::chmod((folder.path() / "cert.pem").c_str(), 0644);
  CHECK(
      TlsCertificate::from_pem_files(folder.path() / "cert.pem", folder.path() / "key.pem", now()));
  CHECK(TlsCertificate::from_pem_files(folder.path() / "both.pem", folder.path() / "both.pem",
                                       now()));
}

TEST_CASE("from_pem_files: LA-53: each file that cannot be read is an error of its own",
          "[certificate]") {
  const TemporaryFolder folder;
  const auto there = folder.path() / "both.pem";
  const auto absent = folder.path() / "absent.pem";
  const auto large = folder.path() / "large.pem";
  write_text(there, localhost().certificate_pem + localhost().key_pem);
  write_text(large, std::string(300 * 1024, 'x'));
  for (const auto& bad : {absent, large}) {
    INFO(bad);
    const auto no_chain = TlsCertificate::from_pem_files(bad, there, now());
    check_error(no_chain, ErrorCode::io, "certificate.read_cert");
    CHECK(holds(no_chain.error().message, bad.string()));
    check_error(TlsCertificate::from_pem_files(there, bad, now()), ErrorCode::io,
                "certificate.read_key");
  }
}

TEST_CASE("from_pem_files: a key that others may read is refused, with the remedy",
          "[certificate]") {
  const TemporaryFolder folder;
  const auto both = folder.path() / "both.pem";
  write_text(both, localhost().certificate_pem + localhost().key_pem);
  const auto mode = GENERATE(mode_t{0640}, mode_t{0604}, mode_t{0660}, mode_t{0644});
  ::chmod(both.c_str(), mode);
  const auto loaded = TlsCertificate::from_pem_files(both, both, now());
  check_error(loaded, ErrorCode::insecure_location, "certificate.permissions");
  CHECK(holds(loaded.error().message, "chmod 600"));
}

TEST_CASE("from_pem_files: a link in place of the key is refused", "[certificate]") {
  const TemporaryFolder folder;
  const auto both = folder.path() / "both.pem";
  write_text(both, localhost().certificate_pem + localhost().key_pem);
  std::filesystem::create_symlink(both, folder.path() / "link.pem");
  check_error(TlsCertificate::from_pem_files(both, folder.path() / "link.pem", now()),
              ErrorCode::insecure_location, "certificate.permissions");
}

TEST_CASE("self_signed_for_development: LA-50: names this machine only, for a day",
          "[certificate]") {
  const auto at = now();
  const auto made = TlsCertificate::self_signed_for_development(at).value();
  for (const auto* host : {"localhost", "127.0.0.1", "::1"}) CHECK(made->covers(host));
  CHECK(made->expires_at() <= at + 24h);
  CHECK(made->expires_at() > at + 23h);
  const OpensslTool tool;
  tool.write("cert.pem", made->chain_pem());
  REQUIRE(tool.run("x509 -in cert.pem -noout -text -out text"));
  const auto text = tool.read("text");
  INFO(text);
  CHECK(holds(text, "NIST CURVE: P-256"));
  CHECK(holds(text, "CA:FALSE"));
  CHECK(holds(text, "TLS Web Server Authentication"));
  CHECK(holds(text, "for development only"));
}

TEST_CASE("self_signed_for_development: is another one each time", "[certificate]") {
  const auto one = TlsCertificate::self_signed_for_development(now()).value();
  const auto two = TlsCertificate::self_signed_for_development(now()).value();
  CHECK(one->chain_pem() != two->chain_pem());
  CHECK_FALSE(one->key_pem() == two->key_pem());
}

TEST_CASE("guide texts: LA-55: they name the tools and the files", "[certificate]") {
  for (const auto part : {"mkcert -install", "localhost-cert.pem", "localhost-key.pem", "::1"}) {
    CHECK(holds(kLocalhostCertificateByHand, part));
  }
  CHECK(holds(kLocalhostCertificateGuide, "mkcert -install"));
}
