// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.cli.hosted_client;
import latchkey.atproto.client;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.cli.workspace;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.os.files;
import latchkey.core.secret;
import latchkey.oauth.client_document;
import latchkey.oauth.client_hosting;
import latchkey.oauth.client_keys;
import latchkey.oauth.client_metadata;
import latchkey.session;

namespace latchkey::cli {
namespace {

constexpr std::size_t kMaxFile = 512 * 1024;

Error no_file(const std::string& path) {
  return make_error(ErrorCode::invalid_argument, "client.no_file",
                    "cannot read " + printable(path, 300) + ": there is no such file");
}

Result<SecretBytes> read_file(const std::string& path) {
  auto bytes = posix_file_system()->read(path, kMaxFile);
  if (!bytes) return std::move(bytes).error();
  if (!*bytes) return no_file(path);
  return **std::move(bytes);
}

// A client_id has characters that no file name may have, and any length.
Result<std::filesystem::path> file_of(const Options& options, std::string_view client_id) {
  const auto where = places(options);
  if (!where) return where.error();
  return where->config / "clients" / (sha256_base64url(client_id) + ".json");
}

Result<HostedClient> parse_remembered(std::string_view text) {
  auto json = JsonObject::parse(text, ErrorCode::corrupt, "client");
  if (!json) return std::move(json).error();
  const auto document = json->required_string("document");
  if (!document) return document.error();
  const auto keys = json->string("keys");
  if (!keys) return keys.error();
  return HostedClient{.document = *document, .keys_file = keys->value_or("")};
}

Result<void> write(const std::filesystem::path& path, const HostedClient& client) {
  const auto files = posix_file_system();
  if (auto made = files->make_folder(path.parent_path()); !made) return made;
  const std::string text = "{\"document\":" + json_string(client.document) +
                           ",\"keys\":" + json_string(client.keys_file) + "}\n";
  return replace_file(files, path, as_bytes(text));
}

Result<std::optional<HostedClient>> read_remembered(const std::filesystem::path& path) {
  const auto files = posix_file_system();
  if (auto checked = files->check_private(path); !checked) return std::move(checked).error();
  const auto bytes = files->read(path, kMaxFile);
  if (!bytes) return bytes.error();
  if (!*bytes) return std::optional<HostedClient>();
  auto client = parse_remembered(as_text((*bytes)->expose()));
  if (!client) return std::move(client).error();
  return std::optional<HostedClient>(*std::move(client));
}

}  // namespace

Result<std::string> read_client_document(const Options& options, const std::string& where) {
  if (!where.starts_with("https://") && !where.starts_with("http://")) {
    const auto bytes = read_file(where);
    if (!bytes) return bytes.error();
    return std::string(as_text(bytes->expose()));
  }
  const auto transport = strangers_transport(options);
  if (!transport) return transport.error();
  auto copy = fetch_hosted_copy(**transport, where, options.stop);
  if (!copy) return std::move(copy).error();
  if (copy->findings.empty()) return std::move(copy->text);
  return make_error(
      ErrorCode::invalid_metadata, "client.hosted_copy",
      "cannot use the client at " + printable(where, 200) + ": " + copy->findings.front().message);
}

Result<std::shared_ptr<ClientKeys>> read_client_keys(const std::string& file) {
  if (auto checked = posix_file_system()->check_private(file); !checked)
    return std::move(checked).error();
  const auto bytes = read_file(file);
  if (!bytes) return bytes.error();
  const auto random = std::make_shared<SystemRandom>();
  const std::string_view text = as_text(bytes->expose());
  const auto start = text.find_first_not_of(" \t\r\n");
  if (start != std::string_view::npos && text[start] == '{') {
    return ClientKeys::from_jwk_set(SecretString(text), random);
  }
  return ClientKeys::from_key_file(*bytes, {}, random);
}

Result<AtprotoClientIdentity> identity_of(const HostedClient& client) {
  auto document = parse_client_document(client.document);
  if (!document) return std::move(document).error();
  if (client.keys_file.empty()) return hosted_client(*document);
  auto keys = read_client_keys(client.keys_file);
  if (!keys) return std::move(keys).error();
  return confidential_client(*document, *std::move(keys));
}

Result<RememberedClient> RememberedClient::put(const Options& options, const std::string& client_id,
                                               const HostedClient& client) {
  const auto path = file_of(options, client_id);
  if (!path) return path.error();
  auto before = read_remembered(*path);
  // What can't be read is of no use to any session.
  if (!before && before.error().code != ErrorCode::corrupt) return std::move(before).error();
  if (auto done = write(*path, client); !done) return std::move(done).error();
  return RememberedClient(*path, before ? *std::move(before) : std::nullopt);
}

void RememberedClient::put_back() {
  if (!before_) return;
  if (const auto done = write(path_, *before_); !done)
    say("what was remembered of the client could not be put back: " + done.error().message);
}

Result<AtprotoClientIdentity> client_of_session(const Options& options,
                                                const SessionSummary& session) {
  if (parse_loopback_client_id(session.client_id)) return loopback_client_of(session.client_id);
  const auto path = file_of(options, session.client_id);
  if (!path) return path.error();
  const auto client = read_remembered(*path);
  if (!client) return client.error();
  if (!*client) {
    return make_error(ErrorCode::client_mismatch, "client.not_remembered",
                      "cannot use the session of " + printable(session.subject, 100) +
                          ": its client " + printable(session.client_id, 200) +
                          " is not known here; log in again with --client-metadata");
  }
  const auto document = parse_client_document((*client)->document);
  if (!document) return document.error();
  if ((*client)->keys_file.empty()) return remembered_client(*document, nullptr);
  auto keys = read_client_keys((*client)->keys_file);
  if (!keys) return std::move(keys).error();
  return remembered_client(*document, *std::move(keys));
}

}  // namespace latchkey::cli
