// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.atproto.pds;
import latchkey.atproto.blob;
import latchkey.atproto.permission;
import latchkey.atproto.permissions;
import latchkey.atproto.xrpc_client;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.http;
import latchkey.refresh.authorized;

// Uploading blobs.

namespace latchkey {
namespace {

Result<void> check_upload(const BodySource& source, const UploadOptions& options) {
  if (media_type_of(options.mime_type).empty()) {
    return make_error(ErrorCode::invalid_argument, "blob.mime_type",
                      "cannot upload a blob as \"" + printable(options.mime_type, 100) +
                          "\": say what it is, such as image/png");
  }
  if (source.size() == 0) {
    return make_error(ErrorCode::invalid_argument, "blob.empty",
                      "cannot upload a blob: there is nothing in it");
  }
  if (source.size() > options.max_size) {
    return make_error(ErrorCode::invalid_argument, "blob.too_large",
                      "cannot upload a blob of " + std::to_string(source.size()) +
                          " bytes: at most " + std::to_string(options.max_size) +
                          " are allowed; raise UploadOptions::max_size if the server takes it");
  }
  return {};
}

}  // namespace

Result<BlobRef> PdsClient::upload_blob(std::string_view bytes, const UploadOptions& options) {
  return upload_blob(body_from_bytes(bytes), options);
}

// The same bytes make the same blob, so that an upload may be repeated.
Result<BlobRef> PdsClient::upload_blob(std::shared_ptr<BodySource> source,
                                       const UploadOptions& options) {
  if (auto checked = check_upload(*source, options); !checked) return std::move(checked).error();
  const XrpcConduct conduct{
      .repeat = Repeat::safe,
      .connection = source->is_replayable() ? Connection::pooled : Connection::fresh,
      .lacking = [&options](const Permissions& permissions) -> std::vector<std::string> {
        if (permissions.allows_blob(options.mime_type) != Answer::no) return {};
        return {blob_permission(options.mime_type)};
      },
      .timeout = options.timeout};
  if (!source->is_replayable()) {
    // A refused nonce or token would use the body up (C10.7).
    auto ready = query("com.atproto.server.getSession", {}, options.stop);
    if (!ready) return std::move(ready).error();
  }
  auto answer = xrpc_.post({.nsid = "com.atproto.repo.uploadBlob", .stop = options.stop},
                           {.content_type = options.mime_type, .source = source}, conduct);
  if (!answer) return std::move(answer).error();
  auto blob = parse_uploaded_blob(answer->text);
  if (blob && blob->size != source->size()) {
    return make_error(ErrorCode::invalid_response, "blob.size_mismatch",
                      "cannot trust the uploaded blob: the server has " +
                          std::to_string(blob->size) + " bytes of " +
                          std::to_string(source->size()) + "; upload it again");
  }
  return blob;
}

}  // namespace latchkey
