// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
export module latchkey.core.secret;

// Buffers for tokens, keys, verifiers and pass phrases. They own heap memory (never a std::string:
// its small-buffer copies survive), move only, and are zeroed when destroyed, assigned or moved
// from. There is one reader, expose(): `grep 'expose('` is the audit of every place that sees a
// secret.

export namespace latchkey {

/// Bytes that are zeroed when they go. Not thread-safe to change; safe to read from several
/// threads.
class SecretBytes {
 public:
  SecretBytes() noexcept = default;
  /// `size` zero bytes, to be filled through mutable_span().
  explicit SecretBytes(std::size_t size);
  explicit SecretBytes(std::span<const unsigned char> bytes);
  SecretBytes(SecretBytes&& other) noexcept;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes();

  [[nodiscard]] SecretBytes clone() const;
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  /// The one reader.
  [[nodiscard]] std::span<const unsigned char> expose() const noexcept { return {data_, size_}; }
  /// For the code that fills the buffer in place (random numbers, decryption, key derivation).
  [[nodiscard]] std::span<unsigned char> mutable_span() noexcept { return {data_, size_}; }
  /// Keeps the first `size` bytes and zeroes the rest. `size` must not be larger than size().
  void truncate(std::size_t size) noexcept;

  /// Constant time for equal sizes.
  [[nodiscard]] friend bool operator==(const SecretBytes& a, const SecretBytes& b) noexcept {
    return equal(a, b);
  }

 private:
  static bool equal(const SecretBytes& a, const SecretBytes& b) noexcept;
  void wipe() noexcept;
  unsigned char* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

/// Text that is zeroed when it goes; see SecretBytes.
class SecretString {
 public:
  SecretString() noexcept = default;
  explicit SecretString(std::string_view text);
  /// Takes the bytes over, without a copy.
  explicit SecretString(SecretBytes bytes) noexcept;

  [[nodiscard]] SecretString clone() const { return SecretString(bytes_.clone()); }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }
  [[nodiscard]] bool empty() const noexcept { return bytes_.empty(); }
  /// The one reader.
  [[nodiscard]] std::string_view expose() const noexcept;

  [[nodiscard]] friend bool operator==(const SecretString& a, const SecretString& b) noexcept {
    return a.bytes_ == b.bytes_;
  }

 private:
  SecretBytes bytes_;
};

/// A copy, if there is something to copy.
[[nodiscard]] std::optional<SecretString> clone(const std::optional<SecretString>& secret);

/// Builds secret text piece by piece without leaving copies behind: it grows by moving into a new
/// buffer and zeroing the old one.
class SecretBuilder {
 public:
  explicit SecretBuilder(std::size_t reserve = 256) : bytes_(reserve) {}
  SecretBuilder& append(std::string_view text);
  SecretBuilder& append(char c) { return append(std::string_view(&c, 1)); }
  [[nodiscard]] SecretString finish() &&;

 private:
  SecretBytes bytes_;
  std::size_t used_ = 0;
};

}  // namespace latchkey
