// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <istream>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
module latchkey.atproto.blob;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.http;
import latchkey.http.body_fence;

namespace latchkey {
namespace {

Error unreadable(const std::string& what) {
  return make_error(ErrorCode::io, "body.file",
                    "cannot read " + printable(what, 200) +
                        ": it is no regular file, or may not be read; check its name and "
                        "permissions");
}

class CallbackReader final : public BodyReader {
 public:
  explicit CallbackReader(BodyCallback read) : read_(std::move(read)) {}
  Result<std::size_t> read(std::span<unsigned char> to) override { return read_fenced(read_, to); }

 private:
  BodyCallback read_;
};

Result<std::size_t> read_some(std::istream& stream, std::span<unsigned char> to,
                              const std::string& name) {
  stream.read(reinterpret_cast<char*>(to.data()), static_cast<std::streamsize>(to.size()));
  if (stream.bad()) return unreadable(name);
  return static_cast<std::size_t>(stream.gcount());
}

class BytesSource final : public BodySource {
 public:
  explicit BytesSource(std::string_view bytes)
      : bytes_(std::make_shared<const std::string>(bytes)) {}
  std::uint64_t size() const override { return bytes_->size(); }
  bool is_replayable() const override { return true; }
  Result<std::unique_ptr<BodyReader>> open() override {
    return std::make_unique<CallbackReader>(
        [bytes = bytes_,
         at = std::size_t{0}](std::span<unsigned char> to) mutable -> Result<std::size_t> {
          const auto some = std::min(to.size(), bytes->size() - at);
          std::copy_n(bytes->data() + at, some, to.data());
          at += some;
          return some;
        });
  }

 private:
  std::shared_ptr<const std::string> bytes_;
};

class FileSource final : public BodySource {
 public:
  FileSource(std::string path, std::uint64_t size) : path_(std::move(path)), size_(size) {}
  std::uint64_t size() const override { return size_; }
  bool is_replayable() const override { return true; }
  Result<std::unique_ptr<BodyReader>> open() override {
    auto file = std::make_shared<std::ifstream>(path_, std::ios::binary);
    if (!*file) return unreadable(path_);
    return std::make_unique<CallbackReader>(
        [file, path = path_](std::span<unsigned char> to) { return read_some(*file, to, path); });
  }

 private:
  std::string path_;
  std::uint64_t size_;
};

class OnceSource final : public BodySource {
 public:
  OnceSource(BodyCallback read, std::uint64_t size) : read_(std::move(read)), size_(size) {}
  std::uint64_t size() const override { return size_; }
  bool is_replayable() const override { return false; }
  Result<std::unique_ptr<BodyReader>> open() override {
    if (opened_.exchange(true)) {
      return make_error(ErrorCode::invalid_argument, "body.not_replayable",
                        "cannot send the body again: it came from a stream and is used up; hand "
                        "over a file, or make the call anew");
    }
    return std::make_unique<CallbackReader>(std::move(read_));
  }

 private:
  BodyCallback read_;
  std::uint64_t size_;
  std::atomic<bool> opened_ = false;
};

}  // namespace

std::string BlobRef::json() const {
  return R"({"$type":"blob","ref":{"$link":)" + json_quote(cid) + R"(},"mimeType":)" +
         json_quote(mime_type) + R"(,"size":)" + std::to_string(size) + '}';
}

Result<BlobRef> parse_uploaded_blob(std::string_view text) {
  auto answer = JsonObject::parse(text, ErrorCode::invalid_response, "blob");
  if (!answer) return std::move(answer).error();
  auto blob = answer->object("blob");
  if (!blob) return std::move(blob).error();
  if (!blob->has_value()) return answer->missing("blob");
  auto ref = (**blob).object("ref");
  if (!ref) return std::move(ref).error();
  if (!ref->has_value()) return (**blob).missing("ref");
  auto cid = (**ref).required_string("$link");
  if (!cid) return std::move(cid).error();
  auto type = (**blob).required_string("mimeType");
  if (!type) return std::move(type).error();
  auto size = (**blob).integer("size");
  if (!size) return std::move(size).error();
  if (!size->has_value() || **size < 0) return (**blob).missing("size");
  return BlobRef{.cid = *std::move(cid),
                 .mime_type = *std::move(type),
                 .size = static_cast<std::uint64_t>(**size)};
}

std::shared_ptr<BodySource> body_from_bytes(std::string_view bytes) {
  return std::make_shared<BytesSource>(bytes);
}

Result<std::shared_ptr<BodySource>> body_from_file(const std::string& path) {
  std::error_code fault;
  const bool regular = std::filesystem::is_regular_file(path, fault);
  const auto size = regular ? std::filesystem::file_size(path, fault) : 0;
  if (!regular || fault || !std::ifstream(path, std::ios::binary)) return unreadable(path);
  return std::shared_ptr<BodySource>(std::make_shared<FileSource>(path, size));
}

std::shared_ptr<BodySource> body_from_stream(std::istream& stream, std::uint64_t size) {
  return body_from_callback(
      [&stream](std::span<unsigned char> to) { return read_some(stream, to, "the stream"); }, size);
}

std::shared_ptr<BodySource> body_from_callback(BodyCallback read, std::uint64_t size) {
  return std::make_shared<OnceSource>(std::move(read), size);
}

}  // namespace latchkey
