// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
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
import latchkey.core.secret;
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

// Keys for a confidential client: those of the file, or new ones in a new file that is never
// written over; with --rotate one more, in front.
Result<std::shared_ptr<ClientKeys>> keys_for(const ClientMetadataCommand& command) {
  const auto files = posix_file_system();
  const std::filesystem::path path(command.keys);
  const auto there = files->modified_at(path);
  if (!there) return there.error();
  if (*there) {
    auto keys = read_client_keys(command.keys);
    if (!keys || !command.rotate) return keys;
    if (auto made = (*keys)->add_new(); !made) return std::move(made).error();
    const SecretString text = (*keys)->private_jwk_set();
    if (auto kept = replace_file(files, path, as_bytes(text.expose())); !kept) return kept.error();
    return keys;
  }
  auto keys = ClientKeys::generate(std::make_shared<SystemRandom>());
  if (!keys) return keys;
  auto file = files->create(path);
  if (!file) return std::move(file).error();
  const SecretString text = (*keys)->private_jwk_set();
  if (auto written = (*file)->write(as_bytes(text.expose())); !written) return written.error();
  if (auto synced = (*file)->sync(); !synced) return synced.error();
  return keys;
}

Result<ClientDocument> document_for(const ClientMetadataCommand& command) {
  ClientDocument document{.client_id = command.client_id,
                          .redirect_uris = command.redirect_uris,
                          .scope = command.scope,
                          .application_type = command.native ? "native" : "web",
                          .client_name = command.name};
  if (command.keys.empty()) return document;
  auto keys = keys_for(command);
  if (!keys) return std::move(keys).error();
  publish_keys(document, **keys);
  return document;
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
  const auto document = document_for(command);
  if (!document) return report(document.error(), options.format);
  const std::string text = build_client_document(*document);
  for (const ClientFinding& finding : lint_client_document(text)) {
    say((is_error(finding) ? "error: " : "warning: ") + finding.message + " (" + finding.id + ")");
  }
  print(std::string_view(text).substr(0, text.size() - 1));
  return has_errors(lint_client_document(text)) ? Exit::failed : Exit::ok;
}

Exit run_client_metadata_lint(const Options& options, const ClientMetadataCommand& command) {
  const auto findings = lint(options, command);
  if (!findings) return report(findings.error(), options.format);
  print_findings(*findings, options.format);
  return has_errors(*findings) ? Exit::failed : Exit::ok;
}

}  // namespace latchkey::cli
