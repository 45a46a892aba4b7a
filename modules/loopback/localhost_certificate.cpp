// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.loopback.certificate;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.command;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.os.process;
import latchkey.core.secret;
import latchkey.core.time;

// The pair of files that mkcert makes and that is kept in a folder. The two are replaced one after
// the other; a crash between them leaves a pair that does not match, and the next run makes a new
// one.

namespace latchkey {
namespace {

namespace fs = std::filesystem;
using CertificatePtr = std::shared_ptr<const TlsCertificate>;

constexpr std::chrono::hours kRenewBefore{24 * 30};
constexpr std::size_t kMaxShown = 600;
constexpr std::array<std::string_view, 3> kHosts{"localhost", "127.0.0.1", "::1"};

Error certificate_error(ErrorCode code, std::string_view detail, const std::string& why) {
  return make_error(code, detail, "cannot make a certificate for localhost: " + why);
}

// The cause keeps its words; "others have access" stays a matter of its own.
Error storage_error(const Error& cause, std::string_view detail) {
  if (cause.code == ErrorCode::insecure_location) {
    return certificate_error(cause.code, "certificate.permissions", cause.message);
  }
  return certificate_error(ErrorCode::io, detail, cause.message);
}

class LocalhostFolder {
 public:
  LocalhostFolder(const fs::path& folder, const LocalhostOptions& options)
      : folder_(folder),
        clock_(options.clock ? options.clock : std::make_shared<SystemClock>()),
        files_(options.files ? options.files : posix_file_system()),
        options_(options) {}

  Result<CertificatePtr> ensure() {
    if (auto ready = prepare(); !ready) return std::move(ready).error();
    if (auto kept = load(); !kept || is_good(*kept)) return kept;
    const auto lock = lock_folder();
    if (!lock) return lock.error();
    // Another process may have made it while this one waited.
    auto kept = load();
    if (!kept || is_good(*kept)) return kept;
    auto made = make();
    // Near its end, but not over: better than none.
    if (!made && *kept != nullptr && covers_all(**kept)) return kept;
    return made;
  }

 private:
  Result<void> prepare() {
    if (auto made = files_->make_folder(folder_); !made)
      return certificate_error(ErrorCode::io, "certificate.create_folder", made.error().message);
    // The chain is public, and mkcert makes it readable for everybody.
    for (const auto& path : {folder_, key_path()}) {
      if (auto ours = files_->check_private(path); !ours)
        return storage_error(ours.error(), "certificate.read_key");
    }
    return {};
  }

  Result<std::unique_ptr<HeldLock>> lock_folder() {
    auto file = LockFile::open(folder_ / "lock", clock_);
    if (!file) return storage_error(file.error(), "certificate.write");
    return (*file)->acquire(
        LockKind::write, "localhost",
        {.deadline = clock_->steady_now() + options_.timeout, .stop = options_.stop});
  }

  // The pair that is there; null where there is none, or none that can be used at all.
  Result<CertificatePtr> load() {
    auto pair = read_pair(chain_path(), key_path());
    if (!pair) return std::move(pair).error();
    if (!pair->first || !pair->second) return CertificatePtr();
    auto certificate = parse(*std::move(*pair).first, *std::move(*pair).second);
    return certificate ? *std::move(certificate) : CertificatePtr();
  }

  using Pair = std::pair<std::optional<SecretBytes>, std::optional<SecretBytes>>;
  Result<Pair> read_pair(const fs::path& chain_file, const fs::path& key_file) {
    auto chain = files_->read(chain_file, kMaxCertificateFile);
    if (!chain) return storage_error(chain.error(), "certificate.read_cert");
    auto key = files_->read(key_file, kMaxCertificateFile);
    if (!key) return storage_error(key.error(), "certificate.read_key");
    return Pair(*std::move(chain), *std::move(key));
  }

  Result<CertificatePtr> parse(SecretBytes chain, SecretBytes key) {
    return TlsCertificate::from_pem(as_text(chain.expose()), SecretString(std::move(key)),
                                    clock_->now());
  }

  static bool covers_all(const TlsCertificate& certificate) {
    return std::all_of(kHosts.begin(), kHosts.end(),
                       [&](std::string_view host) { return certificate.covers(host); });
  }

  [[nodiscard]] bool is_good(const CertificatePtr& certificate) const {
    return certificate && covers_all(*certificate) &&
           certificate->expires_at() - clock_->now() > kRenewBefore;
  }

  Result<CertificatePtr> make() {
    if (auto clean = remove_leftovers(); !clean) return std::move(clean).error();
    SystemRandom random;
    const auto name = std::string(kTemporaryPrefix) + random_token(random, 12);
    const auto new_chain = folder_ / (name + "-cert.pem");
    const auto new_key = folder_ / (name + "-key.pem");
    auto made = run_mkcert(new_chain, new_key);
    if (made) made = adopt(new_chain, new_key);
    // What mkcert wrote is copied; if this fails, the next run removes it.
    static_cast<void>(remove_leftovers());
    if (!made) return std::move(made).error();
    return load_made();
  }

  Result<void> run_mkcert(const fs::path& chain_file, const fs::path& key_file) {
    if (!find_program("mkcert")) {
      return certificate_error(
          ErrorCode::io, "certificate.mkcert_not_found",
          "mkcert is not installed, or not in PATH; install it (on Debian: apt "
          "install mkcert libnss3-tools), then run mkcert -install once");
    }
    std::vector<std::string> words{"mkcert", "-cert-file", chain_file.native(), "-key-file",
                                   key_file.native()};
    words.insert(words.end(), kHosts.begin(), kHosts.end());
    const auto ended = run_command(words, {.timeout = options_.timeout,
                                           .max_output = 64 * 1024,
                                           .errors = CommandErrors::with_output});
    if (!ended) {
      return certificate_error(ErrorCode::io, "certificate.mkcert_failed", ended.error().message);
    }
    if (ended->status == 0) return {};
    return mkcert_failed("it ended with " + std::to_string(ended->status) +
                         " and said: " + printable(as_text(ended->out.expose()), kMaxShown));
  }

  static Error mkcert_failed(const std::string& why) {
    return certificate_error(
        ErrorCode::io, "certificate.mkcert_failed",
        "mkcert failed: " + why + "; run mkcert localhost by hand to see what is wrong");
  }

  // Checks the new pair, then puts it where the old one was.
  Result<void> adopt(const fs::path& new_chain, const fs::path& new_key) {
    auto pair = read_pair(new_chain, new_key);
    if (!pair) return std::move(pair).error();
    if (!pair->first || !pair->second) return mkcert_failed("it left no certificate or no key");
    const auto made = parse(pair->first->clone(), pair->second->clone());
    if (!made) return mkcert_failed(made.error().message);
    if (!covers_all(**made)) return mkcert_failed("its certificate names other hosts");
    if (auto placed = replace(*pair->first, *pair->second); !placed)
      return storage_error(placed.error(), "certificate.write");
    return {};
  }

  // The room for both is there before either changes: a full disk leaves the old pair.
  Result<void> replace(const SecretBytes& chain, const SecretBytes& key) {
    auto staged_chain = stage_file(files_, chain_path(), chain.size());
    if (!staged_chain) return std::move(staged_chain).error();
    auto staged_key = stage_file(files_, key_path(), key.size());
    if (!staged_key) return std::move(staged_key).error();
    if (auto placed = (*staged_key)->commit(key.expose(), key_path()); !placed) return placed;
    return (*staged_chain)->commit(chain.expose(), chain_path());
  }

  Result<CertificatePtr> load_made() {
    auto made = load();
    if (made && *made == nullptr) {
      return certificate_error(ErrorCode::io, "certificate.write",
                               "the new files changed at once; keep other programs out of " +
                                   printable(folder_.native(), 300));
    }
    return made;
  }

  // Of a run that was cut off; the folder is locked, so that nobody is at work there now.
  Result<void> remove_leftovers() {
    const auto entries = files_->list(folder_);
    if (!entries) return storage_error(entries.error(), "certificate.write");
    for (const auto& entry : *entries) {
      if (!entry.name.starts_with(kTemporaryPrefix)) continue;
      if (auto gone = files_->remove(folder_ / entry.name); !gone)
        return storage_error(gone.error(), "certificate.write");
    }
    return {};
  }

  [[nodiscard]] fs::path chain_path() const { return folder_ / "localhost-cert.pem"; }
  [[nodiscard]] fs::path key_path() const { return folder_ / "localhost-key.pem"; }

  fs::path folder_;
  std::shared_ptr<Clock> clock_;
  std::shared_ptr<FileSystem> files_;
  const LocalhostOptions& options_;
};

}  // namespace

Result<std::shared_ptr<const TlsCertificate>> TlsCertificate::ensure_localhost(
    const std::filesystem::path& folder, const LocalhostOptions& options) {
  return LocalhostFolder(folder, options).ensure();
}

}  // namespace latchkey
