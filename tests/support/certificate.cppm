// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <string>
#include <vector>
export module latchkey.test.certificate;

// Certificates made while a test runs: an authority, and server certificates that it signed.

export namespace latchkey::test {

struct Identity {
  std::string certificate_pem;
  std::string key_pem;
};

/// A certificate authority of its own. Throws std::runtime_error when OpenSSL refuses.
class Authority {
 public:
  Authority();
  [[nodiscard]] const std::string& certificate_pem() const { return self_.certificate_pem; }
  /// A server certificate for DNS names and IP literals, valid for a day.
  [[nodiscard]] Identity issue(const std::vector<std::string>& names) const;
  /// One that is valid from `from` to `until`, both from now.
  [[nodiscard]] Identity issue(const std::vector<std::string>& names, std::chrono::seconds from,
                               std::chrono::seconds until) const;
  /// One whose time was over yesterday.
  [[nodiscard]] Identity issue_expired(const std::vector<std::string>& names) const;

 private:
  Identity self_;
};

/// A file in the temporary folder, removed at the end.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& content);
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile();
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace latchkey::test
