// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.commands;
import latchkey.atproto.client;
import latchkey.atproto.identifier;
import latchkey.atproto.pds;
import latchkey.cli.account;
import latchkey.cli.input;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.core.encoding;
import latchkey.core.error;

namespace latchkey::cli {
namespace {

WriteOptions write_options(const Options& options, const RecordCommand& command) {
  WriteOptions write{
      .rkey = command.rkey, .swap_commit = command.swap_commit, .stop = options.stop};
  if (command.validate) write.validation = Validation::required;
  if (command.skip_validation) write.validation = Validation::skipped;
  if (command.swap == "null") write.swap_record.kind = SwapRecord::Kind::absent;
  if (!command.swap.empty() && command.swap != "null") {
    write.swap_record = {.kind = SwapRecord::Kind::cid, .cid = command.swap};
  }
  return write;
}

// What follows the URI on its line must not be moved by it.
std::string shown(const std::string& name) {
  return printable(name, 8192);
}

Exit print_ref(const Account& account, const Result<RecordRef>& ref, Format format) {
  if (!ref) return report(account, ref.error(), format);
  print_foreign(format == Format::json ? "{\"uri\":" + json_string(ref->uri) +
                                             ",\"cid\":" + json_string(ref->cid) + "}"
                                       : shown(ref->uri) + " " + shown(ref->cid));
  return Exit::ok;
}

std::string record_json(const Record& record) {
  return "{\"uri\":" + json_string(record.uri) +
         ",\"cid\":" + (record.cid.empty() ? "null" : json_string(record.cid)) +
         ",\"value\":" + record.value + "}";
}

std::string record_line(const Record& record, Format format) {
  return format == Format::json ? record_json(record) : shown(record.uri) + "\t" + record.value;
}

void print_page(const RecordPage& page, Format format) {
  std::string json;
  for (const Record& record : page.records) {
    if (format == Format::json) {
      json += (json.empty() ? "" : ",") + record_json(record);
    } else {
      print_foreign(record_line(record, format));
    }
  }
  if (format == Format::json) {
    print_foreign("{\"records\":[" + json + "],\"cursor\":" +
                  (page.cursor.empty() ? "null" : json_string(page.cursor)) + "}");
  } else if (!page.cursor.empty()) {
    say("there are more: go on with --cursor " + shown(page.cursor));
  }
}

// One line a record as it comes: a repository may be large, and whoever reads may have seen enough.
Exit print_all(const Account& account, const PdsClient& pds, const std::string& collection,
               const ListOptions& list, Format format) {
  for (auto records = pds.list_all_records(collection, list); const auto& record : records) {
    if (!record) return report(account, record.error(), format);
    print_foreign(record_line(*record, format));
    if (!are_results_taken()) return Exit::failed;
  }
  return Exit::ok;
}

// COLLECTION and RKEY, or an AT-URI that says both.
Result<AtUri> record_name(const RecordCommand& command) {
  if (!command.uri.empty()) return parse_at_uri(command.uri);
  return AtUri{.repo = {}, .collection = command.collection, .rkey = command.rkey};
}

}  // namespace

Exit run_record_create(const Options& options, const RecordCommand& command) {
  auto value = read_argument(command.value, options.stop);
  if (!value) return report(value.error(), options.format);
  auto account = open_atproto_account(options);
  if (!account) return report(account.error(), options.format);
  PdsClient pds = account->atproto()->pds(account->subject());
  return print_ref(*account,
                   pds.create_record(command.collection, *value, write_options(options, command)),
                   options.format);
}

Exit run_record_put(const Options& options, const RecordCommand& command) {
  auto value = read_argument(command.value, options.stop);
  if (!value) return report(value.error(), options.format);
  auto account = open_atproto_account(options);
  if (!account) return report(account.error(), options.format);
  PdsClient pds = account->atproto()->pds(account->subject());
  return print_ref(
      *account,
      pds.put_record(command.collection, command.rkey, *value, write_options(options, command)),
      options.format);
}

Exit run_record_get(const Options& options, const RecordCommand& command) {
  auto name = record_name(command);
  if (!name) return report(name.error(), options.format);
  auto account = open_atproto_account(options);
  if (!account) return report(account.error(), options.format);
  PdsClient pds = account->atproto()->pds(account->subject());
  auto record = pds.get_record(name->collection, name->rkey, name->repo, options.stop);
  if (!record) return report(*account, record.error(), options.format);
  print_foreign(options.format == Format::json ? record_json(*record) : record->value);
  return Exit::ok;
}

Exit run_record_list(const Options& options, const RecordCommand& command) {
  auto account = open_atproto_account(options);
  if (!account) return report(account.error(), options.format);
  PdsClient pds = account->atproto()->pds(account->subject());
  const ListOptions list{.repo = command.repo,
                         .limit = command.limit.value_or(command.all ? 100 : 50),
                         .cursor = command.cursor,
                         .stop = options.stop};
  if (command.all) return print_all(*account, pds, command.collection, list, options.format);
  auto page = pds.list_records(command.collection, list);
  if (!page) return report(*account, page.error(), options.format);
  print_page(*page, options.format);
  return Exit::ok;
}

Exit run_record_delete(const Options& options, const RecordCommand& command) {
  auto name = record_name(command);
  if (!name) return report(name.error(), options.format);
  auto account = open_atproto_account(options);
  if (!account) return report(account.error(), options.format);
  if (!name->repo.empty() && name->repo != account->summary().subject &&
      name->repo != account->summary().handle) {
    return report(make_error(ErrorCode::invalid_argument, "cli.other_repo",
                             "cannot delete a record of " + name->repo + ": you are logged in as " +
                                 account->summary().subject),
                  options.format);
  }
  PdsClient pds = account->atproto()->pds(account->subject());
  auto deleted = pds.delete_record(name->collection, name->rkey, write_options(options, command));
  if (!deleted) return report(*account, deleted.error(), options.format);
  if (options.format == Format::json) print("{\"deleted\":true}");
  return Exit::ok;
}

}  // namespace latchkey::cli
