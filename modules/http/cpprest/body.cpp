// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ios>
#include <istream>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <streambuf>
#include <utility>
module latchkey.http.cpprest.body;
import latchkey.core.error;
import latchkey.http;

namespace latchkey {

BodyBuffer::BodyBuffer(std::shared_ptr<BodySource> source)
    : source_(std::move(source)), left_(source_->size()), stream_(this) {}

Result<std::size_t> BodyBuffer::read(char* to, std::size_t wanted) {
  if (!reader_) {
    auto opened = source_->open();
    if (!opened) return std::move(opened).error();
    reader_ = *std::move(opened);
  }
  std::size_t done = 0;
  while (done < wanted) {
    auto some = reader_->read({reinterpret_cast<unsigned char*>(to) + done, wanted - done});
    if (!some) return some;
    if (*some == 0) {
      return make_error(ErrorCode::io, "body.short",
                        "cannot send the body: it ended before the size that was announced; it may "
                        "have changed meanwhile: try again");
    }
    done += *some;
  }
  return done;
}

void BodyBuffer::finish() {
  const std::scoped_lock lock(mutex_);
  reader_.reset();
  source_.reset();
}

std::optional<Error> BodyBuffer::error() const {
  const std::scoped_lock lock(mutex_);
  return error_;
}

std::streamsize BodyBuffer::xsgetn(char* to, std::streamsize count) {
  const std::scoped_lock lock(mutex_);
  if (error_ || !source_) return 0;
  const auto wanted = std::min<std::uint64_t>(static_cast<std::uint64_t>(count), left_);
  auto done = read(to, static_cast<std::size_t>(wanted));
  if (!done) {
    error_ = std::move(done).error();
    return 0;
  }
  left_ -= *done;
  return static_cast<std::streamsize>(*done);
}

}  // namespace latchkey
