// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.commands;
import latchkey.cli.hosted_client;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.cli.workspace;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.oauth.client_document;
import latchkey.oauth.client_hosting;
import latchkey.oauth.client_keys;
import latchkey.oauth.client_lint;

// A client's metadata document: made, and held against the rules.

namespace latchkey::cli {
namespace {

using Findings = std::vector<ClientFinding>;

bool is_error(const ClientFinding& finding) {
  return finding.severity == ClientFinding::Severity::error;
}

std::string finding_json(const ClientFinding& finding) {
  return "{\"id\":" + json_string(finding.id) + ",\"rule\":" + json_string(finding.rule) +
         ",\"severity\":" + json_string(is_error(finding) ? "error" : "warning") +
         ",\"message\":" + json_string(finding.message) + "}";
}

void print_findings(const Findings& findings, Format format) {
  if (format == Format::json) {
    std::string all;
    for (const auto& finding : findings) all += (all.empty() ? "" : ",") + finding_json(finding);
    return print("[" + all + "]");
  }
  if (findings.empty()) print("no findings");
  for (const auto& finding : findings) {
    print((is_error(finding) ? "error   " : "warning ") + finding.id + "  " + finding.message);
  }
}

constexpr std::chrono::seconds kLockWait{10};

// The keys of a confidential client, and the right to write their file until this is dropped.
struct KeyFile {
  std::filesystem::path path;
  std::unique_ptr<HeldLock> lock;
  std::shared_ptr<ClientKeys> keys;
  bool is_changed = false;  // what the file holds is not `keys`, or there is no file yet
};

// A file beside the keys: theirs is replaced, and a lock on it would be of the old one.
Result<std::unique_ptr<HeldLock>> lock_keys(const std::filesystem::path& path,
                                            std::stop_token stop) {
  const auto clock = std::make_shared<SystemClock>();
  auto file = LockFile::open(path.native() + ".lock", clock);
  if (!file) return std::move(file).error();
  return (*file)->acquire(LockKind::whole, {},
                          {.deadline = clock->steady_now() + kLockWait, .stop = std::move(stop)});
}

// Those of the file, with --rotate and one more in front; without a file, new ones.
Result<KeyFile> open_key_file(const Options& options, const ClientMetadataCommand& command) {
  KeyFile file{.path = command.keys, .lock = {}, .keys = {}};
  auto lock = lock_keys(file.path, options.stop);
  if (!lock) return std::move(lock).error();
  file.lock = *std::move(lock);
  const auto there = posix_file_system()->modified_at(file.path);
  if (!there) return there.error();
  auto keys = *there ? read_client_keys(command.keys)
                     : ClientKeys::generate(std::make_shared<SystemRandom>());
  if (!keys) return std::move(keys).error();
  file.keys = *std::move(keys);
  file.is_changed = !*there || command.rotate;
  if (!*there || !command.rotate) return file;
  if (auto made = file.keys->add_new(); !made) return std::move(made).error();
  return file;
}

Result<void> keep(const std::optional<KeyFile>& file) {
  if (!file || !file->is_changed) return {};
  const SecretString text = file->keys->private_jwk_set();
  return replace_file(posix_file_system(), file->path, as_bytes(text.expose()));
}

ClientDocument document_for(const ClientMetadataCommand& command) {
  return {.client_id = command.client_id,
          .redirect_uris = command.redirect_uris,
          .scope = command.scope,
          .application_type = command.native ? "native" : "web",
          .client_name = command.name};
}

struct Linted {
  std::string text;
  Findings findings;
};

void append(Findings& findings, Findings more) {
  for (ClientFinding& one : more) findings.push_back(std::move(one));
}

// The copy that servers get; compared with `own` if that is not empty.
Result<Linted> lint_hosted(const Options& options, const std::string& client_id,
                           std::string_view own) {
  const auto transport = strangers_transport(options);
  if (!transport) return transport.error();
  auto copy = fetch_hosted_copy(**transport, client_id, options.stop);
  if (!copy) return std::move(copy).error();
  Linted linted{.text = std::move(copy->text), .findings = std::move(copy->findings)};
  if (!own.empty() && !linted.text.empty()) {
    append(linted.findings, compare_documents(own, linted.text));
  }
  return linted;
}

Result<Findings> lint(const Options& options, const ClientMetadataCommand& command) {
  const bool is_url = command.where.starts_with("https://") || command.where.starts_with("http://");
  if (is_url) {
    auto hosted = lint_hosted(options, command.where, {});
    if (!hosted) return std::move(hosted).error();
    if (!hosted->text.empty()) append(hosted->findings, lint_client_document(hosted->text));
    return std::move(hosted->findings);
  }
  const auto text = read_client_document(options, command.where);
  if (!text) return text.error();
  Findings findings = lint_client_document(*text);
  if (!command.hosted) return findings;
  const auto document = parse_client_document(*text);
  if (!document) return findings;
  auto hosted = lint_hosted(options, document->client_id, *text);
  if (!hosted) return std::move(hosted).error();
  append(findings, std::move(hosted->findings));
  return findings;
}

}  // namespace

Exit run_client_metadata_new(const Options& options, const ClientMetadataCommand& command) {
  if (command.rotate && command.keys.empty()) {
    return report(make_error(ErrorCode::invalid_argument, "cli.usage",
                             "--rotate makes a new key in the file of --keys; say which file"),
                  options.format);
  }
  ClientDocument document = document_for(command);
  std::optional<KeyFile> file;
  if (!command.keys.empty()) {
    auto opened = open_key_file(options, command);
    if (!opened) return report(opened.error(), options.format);
    file = *std::move(opened);
    publish_keys(document, *file->keys);
  }
  const std::string text = build_client_document(document);
  const Findings findings = lint_client_document(text);
  for (const ClientFinding& finding : findings) {
    say((is_error(finding) ? "error: " : "warning: ") + finding.message + " (" + finding.id + ")");
  }
  // Neither keys nor a document that nobody can use.
  if (has_errors(findings)) return Exit::failed;
  if (auto kept = keep(file); !kept) return report(kept.error(), options.format);
  print(std::string_view(text).substr(0, text.size() - 1));
  return Exit::ok;
}

Exit run_client_metadata_lint(const Options& options, const ClientMetadataCommand& command) {
  const auto findings = lint(options, command);
  if (!findings) return report(findings.error(), options.format);
  print_findings(*findings, options.format);
  return has_errors(*findings) ? Exit::failed : Exit::ok;
}

}  // namespace latchkey::cli
