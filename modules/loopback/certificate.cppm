// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.loopback.certificate;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.secret;
import latchkey.core.time;

// Certificates for a receiver that answers over https: some providers take no http redirect, not
// even to loopback. A browser must trust what signed the certificate: mkcert's own authority is the
// way that asks for no exception in the browser.

namespace latchkey {

// More is no certificate and no key.
inline constexpr std::size_t kMaxCertificateFile = 256 * 1024;

}  // namespace latchkey

export namespace latchkey {

/// What ensure_localhost() stands on.
struct LocalhostOptions {
  std::shared_ptr<Clock> clock{};             ///< null: the machine's
  std::shared_ptr<FileSystem> files{};        ///< null: posix_file_system()
  std::chrono::milliseconds timeout{60'000};  ///< for mkcert, and for another process that runs it
  std::stop_token stop{};                     ///< ends the wait for another process
};

/// A certificate chain with its private key: they match, and the certificate is valid at the time
/// that was given. Immutable, so safe to share between threads.
class TlsCertificate {
 public:
  /// PEM: the server's certificate first, then those that lead to its authority; the key
  /// unencrypted. Other blocks in `chain` are left out. Errors: invalid_argument,
  /// "certificate.no_certificates" (there is none in `chain`), "certificate.parse_cert",
  /// "certificate.expired", "certificate.not_yet_valid"; invalid_key, "certificate.parse_key",
  /// "certificate.key_mismatch".
  [[nodiscard]] static Result<std::shared_ptr<const TlsCertificate>> from_pem(
      std::string_view chain, SecretString key, TimePoint now);
  /// The same from two files (or twice the same one). The key must be ours alone: 0600, and no
  /// link. Errors besides: io, "certificate.read_cert", "certificate.read_key"; insecure_location,
  /// "certificate.permissions".
  [[nodiscard]] static Result<std::shared_ptr<const TlsCertificate>> from_pem_files(
      const std::filesystem::path& chain, const std::filesystem::path& key, TimePoint now);
  /// For localhost, 127.0.0.1 and ::1, from "localhost-cert.pem" and "localhost-key.pem" in
  /// `folder`, which is made (0700) if it is not there. A good pair is reused. mkcert is run when
  /// there is none, when it does not parse, match or cover all three names, and when less than 30
  /// days of it are left; if it then fails, a certificate that is still valid is used on. Safe
  /// between processes, and after a crash. mkcert's authority must be installed once, by hand: see
  /// kLocalhostCertificateGuide. Errors besides from_pem's: io, "certificate.create_folder",
  /// "certificate.read_cert", "certificate.read_key", "certificate.write",
  /// "certificate.mkcert_not_found", "certificate.mkcert_failed"; insecure_location,
  /// "certificate.permissions"; locked, "lock.held"; cancelled, "lock.cancelled".
  [[nodiscard]] static Result<std::shared_ptr<const TlsCertificate>> ensure_localhost(
      const std::filesystem::path& folder, const LocalhostOptions& options = {});
  /// Made now (P-256), in memory only, for localhost, 127.0.0.1 and ::1, valid for a day. Nobody
  /// vouches for it: the browser warns, and whoever clicks the warning away would do so for an
  /// impostor too. For development only. Error: io, "certificate.not_made".
  [[nodiscard]] static Result<std::shared_ptr<const TlsCertificate>> self_signed_for_development(
      TimePoint now);

  TlsCertificate(const TlsCertificate&) = delete;
  TlsCertificate& operator=(const TlsCertificate&) = delete;
  ~TlsCertificate() = default;

  /// The certificates and nothing else that stood between or beside them.
  [[nodiscard]] const std::string& chain_pem() const noexcept { return chain_; }
  [[nodiscard]] const SecretString& key_pem() const noexcept { return key_; }
  /// Of the server's certificate.
  [[nodiscard]] TimePoint expires_at() const noexcept { return expires_at_; }
  /// Is this name or IP literal (without brackets) among the certificate's alternative names?
  [[nodiscard]] bool covers(std::string_view host) const;

 private:
  TlsCertificate(std::string chain, SecretString key, TimePoint expires_at,
                 std::vector<std::string> hosts);
  std::string chain_;
  SecretString key_;
  TimePoint expires_at_;
  std::vector<std::string> hosts_;
};

/// For programs to print: how to make the two files by hand.
inline constexpr std::string_view kLocalhostCertificateByHand =
    "A certificate for https://localhost, made by hand:\n"
    "  1. Install mkcert (on Debian: apt install mkcert libnss3-tools).\n"
    "  2. Once, so that your browsers trust it: mkcert -install\n"
    "  3. In a folder that only you can read (mode 0700):\n"
    "     mkcert -cert-file localhost-cert.pem -key-file localhost-key.pem localhost 127.0.0.1 "
    "::1\n"
    "  4. Name the two files to this program. Make them anew before they expire, after about two "
    "years.\n";
/// For programs to print that call ensure_localhost().
inline constexpr std::string_view kLocalhostCertificateGuide =
    "A certificate for https://localhost, made for you:\n"
    "  1. Install mkcert (on Debian: apt install mkcert libnss3-tools).\n"
    "  2. Once, so that your browsers trust it: mkcert -install\n"
    "  The certificate itself is made, kept and renewed by this program.\n";

}  // namespace latchkey
