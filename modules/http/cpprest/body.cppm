// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <cstdint>
#include <ios>
#include <istream>
#include <memory>
#include <mutex>
#include <optional>
#include <streambuf>
export module latchkey.http.cpprest.body;
import latchkey.core.error;
import latchkey.http;

// A body that cpprestsdk reads while it sends. Used by latchkey.http.cpprest.channel only.

export namespace latchkey {

/// A stream buffer over a BodySource, which is opened when the first byte is wanted: nothing of it
/// is used up by a connection that turns out dead. It throws nothing: cpprestsdk calls it in its
/// own thread and outside of any task, where an exception would end the process. What went wrong is
/// kept instead, and the stream ends, which breaks the exchange off.
class BodyBuffer final : public std::streambuf {
 public:
  explicit BodyBuffer(std::shared_ptr<BodySource> source);
  /// The exchange is over for the one who waits for it: cpprestsdk may still read, but gets nothing
  /// any more, and the source is not touched again. Waits for a read under way.
  void finish();
  /// What went wrong with the source. Besides the reader's: io, "body.short".
  [[nodiscard]] std::optional<Error> error() const;
  /// What cpprestsdk takes; it must not outlive this.
  [[nodiscard]] std::istream& stream() noexcept { return stream_; }

 protected:
  std::streamsize xsgetn(char* to, std::streamsize count) override;

 private:
  [[nodiscard]] Result<std::size_t> read(char* to, std::size_t wanted);

  mutable std::mutex mutex_;            // guards all but stream_
  std::shared_ptr<BodySource> source_;  // null from finish() on
  std::unique_ptr<BodyReader> reader_;  // null until the first read
  std::uint64_t left_;
  std::optional<Error> error_;
  std::istream stream_;
};

}  // namespace latchkey
