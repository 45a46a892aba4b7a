// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.commands;
import latchkey.atproto.client;
import latchkey.atproto.pds;
import latchkey.cli.account;
import latchkey.cli.input;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.core.error;
import latchkey.http;

// XRPC calls by their NSID, and blobs.

namespace latchkey::cli {
namespace {

Result<QueryParameters> parameters_of(const std::vector<std::string>& texts) {
  QueryParameters out;
  for (const std::string& text : texts) {
    const auto equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      return make_error(ErrorCode::invalid_argument, "cli.usage",
                        "cannot use \"" + text + "\" as a parameter: write NAME=VALUE");
    }
    out.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

Exit print_answer(const Account& account, const Result<XrpcAnswer>& answer, Format format) {
  if (!answer) return report(account, answer.error(), format);
  print_foreign(answer->text);
  return Exit::ok;
}

}  // namespace

Exit run_query(const Options& options, const CallCommand& command) {
  auto parameters = parameters_of(command.parameters);
  if (!parameters) return report(parameters.error(), options.format);
  auto account = open_atproto_account(options);
  if (!account) return report(account.error(), options.format);
  PdsClient pds = account->atproto()->pds(account->subject());
  return print_answer(*account,
                      pds.query({.nsid = command.nsid,
                                 .parameters = *std::move(parameters),
                                 .proxy = command.proxy,
                                 .stop = options.stop}),
                      options.format);
}

Exit run_procedure(const Options& options, const CallCommand& command) {
  auto body = read_argument(command.data, options.stop);
  if (!body) return report(body.error(), options.format);
  auto account = open_atproto_account(options);
  if (!account) return report(account.error(), options.format);
  PdsClient pds = account->atproto()->pds(account->subject());
  return print_answer(
      *account,
      pds.procedure({.nsid = command.nsid, .proxy = command.proxy, .stop = options.stop}, *body),
      options.format);
}

Exit run_blob_upload(const Options& options, const BlobCommand& command) {
  auto source = body_from_file(command.file);
  if (!source) return report(source.error(), options.format);
  auto account = open_atproto_account(options);
  if (!account) return report(account.error(), options.format);
  PdsClient pds = account->atproto()->pds(account->subject());
  const auto blob =
      pds.upload_blob(*std::move(source), {.mime_type = command.type, .stop = options.stop});
  if (!blob) return report(*account, blob.error(), options.format);
  print_foreign(blob->json());
  return Exit::ok;
}

}  // namespace latchkey::cli
