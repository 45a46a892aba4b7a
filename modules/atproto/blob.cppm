// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <cstdint>
#include <istream>
#include <memory>
#include <string>
#include <string_view>
export module latchkey.atproto.blob;
import latchkey.core.error;
import latchkey.http;
export import latchkey.http.body_fence;

// Blobs: files that are uploaded to a PDS, for records to refer to, and where their bytes come
// from.

export namespace latchkey {

/// An uploaded blob. The server forgets it if no record refers to it soon.
struct BlobRef {
  std::string cid;
  std::string mime_type;
  std::uint64_t size = 0;

  /// The member of a record that refers to it:
  /// {"$type":"blob","ref":{"$link":CID},"mimeType":…,"size":…}.
  [[nodiscard]] std::string json() const;
};
/// Reads the answer of com.atproto.repo.uploadBlob. Error: invalid_response, "blob.…".
[[nodiscard]] Result<BlobRef> parse_uploaded_blob(std::string_view text);

/// Bytes in memory; copied. Can be sent again.
[[nodiscard]] std::shared_ptr<BodySource> body_from_bytes(std::string_view bytes);
/// A file, opened anew for each sending and never held in memory. Can be sent again. Errors: io,
/// "body.file" (no regular file, or unreadable).
[[nodiscard]] Result<std::shared_ptr<BodySource>> body_from_file(const std::string& path);
/// A stream from where it stands, which the caller keeps alive and leaves alone until the call is
/// over, and if a read of it hangs when the call times out or is stopped, until that returns: the
/// source is held for so long. Read once only, so that the request is never sent again (C10.7).
[[nodiscard]] std::shared_ptr<BodySource> body_from_stream(std::istream& stream,
                                                           std::uint64_t size);
using BodyCallback = BodyRead;
/// What a callback gives, called by a thread of its own, which outlives the call only where the
/// callback does not return in time. One that throws ends the call: io, "body.threw". Read once
/// only (C10.7).
[[nodiscard]] std::shared_ptr<BodySource> body_from_callback(BodyCallback read, std::uint64_t size);

}  // namespace latchkey
