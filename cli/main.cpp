// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>

import latchkey.cli.commands;
import latchkey.cli.options;
import latchkey.cli.profile;
import latchkey.cli.profile.assembly;
import latchkey.cli.report;
import latchkey.cli.signals;
import latchkey.cli.store_name;
import latchkey.cli.trace.file;
import latchkey.core.error;
import latchkey.core.os.process;

namespace {

using namespace latchkey::cli;

struct Parsed {
  Options options = options_from_environment();
  bool json = false;
  LoginCommand login;
  LogoutCommand logout;
  StatusCommand status;
  UseCommand use;
  ResolveCommand resolve;
  TokenCommand token;
  DoctorCommand doctor;
  RecordCommand record;
  BlobCommand blob;
  CallCommand call;
  RequestCommand request;
  DpopCommand dpop;
  VaultCommand vault;
  StoreMigrateCommand migrate;
  StoreGcCommand gc;
  TraceCommand trace;
  ClientMetadataCommand client_metadata;
  SandboxCommand sandbox;
  std::function<Exit(const Options&)> command;
};

CLI::App* add(CLI::App& parent, const std::string& name, const std::string& help, Parsed& parsed,
              std::function<Exit(const Options&)> run) {
  CLI::App* command = parent.add_subcommand(name, help)->fallthrough();
  command->callback([&parsed, run = std::move(run)] { parsed.command = run; });
  return command;
}

void add_global_options(CLI::App& app, Parsed& parsed) {
  app.add_flag("--json", parsed.json, "results and errors as JSON");
  app.add_option("--data-dir", parsed.options.data_dir, "keep everything below this folder");
  app.add_option("--store", parsed.options.store,
                 "sqlite:PATH, file:FOLDER, memory:, or for many machines postgresql://HOST/NAME "
                 "(put its password into ~/.pgpass, a service file or PGPASSWORD, not here)");
  auto* account =
      app.add_option("--account", parsed.options.account, "which session: its handle or DID");
  auto* profile = app.add_option("--profile", parsed.options.profile,
                                 "which profile: a login at any other provider");
  account->excludes(profile);
  // What is said here counts more than the other one in the environment.
  account->each([&parsed](const std::string&) { parsed.options.profile.clear(); });
  profile->each([&parsed](const std::string&) { parsed.options.account.clear(); });
  app.add_option("--master-key", parsed.options.master_key,
                 "what opens the vault: auto, key-file, key-file:PATH, keychain, passphrase, or "
                 "command:PROGRAM ARG... (split on blanks, no shell); chosen when the vault is "
                 "made");
  app.add_option("--trace", parsed.options.trace,
                 "append what is asked of whom to this file, without secrets; latchkey trace shows "
                 "it");
  app.add_option("--plc-url", parsed.options.plc_url, "development: the PLC directory to ask")
      ->group("Development");
  app.add_option("--resolve-handles-at", parsed.options.resolve_handles_at,
                 "development: a PDS to ask for handles")
      ->group("Development");
  app.add_flag("--allow-http-for-loopback", parsed.options.allow_http_for_loopback,
               "development: allow http, and private addresses, for servers on this machine")
      ->group("Development");
}

void add_client_options(CLI::App& login, ProfileFlags& flags) {
  const std::string group = "Any other provider";
  const auto option = [&](const char* name, auto& target, const char* help) {
    return login.add_option(name, target, help)->group(group);
  };
  option("--issuer", flags.issuer, "the provider's URL; asked for its endpoints");
  option("--client-id", flags.client_id, "your client there");
  option("--client-secret-file", flags.client_secret_file,
         "the file that holds the client's secret, and will hold it");
  option("--client-secret-command", flags.client_secret_command,
         "PROGRAM ARG... that prints the client's secret (split on blanks, no shell)");
  option("--client-auth", flags.client_auth,
         "none, client_secret_basic (if there is a secret) or client_secret_post");
  option("--resource", flags.resources, "whom the token is for (RFC 8707); may be repeated");
  option("--origin", flags.origins, "a server that request may send the token to; may be repeated");
  option("--parameter", flags.parameters,
         "NAME=VALUE, sent with the authorization request; may be repeated");
  option("--config", flags.config, "a file with all of these, see docs/providers.md");
  login
      .add_flag("--without-jwks-validation", flags.without_jwks_validation,
                "accept id tokens without checking who signed them")
      ->group(group);
  option("--port", flags.port, "the port that the browser ends at; any free one if not given")
      ->check(CLI::Range(0, 65535));
  login.add_flag("--https", flags.https, "the browser ends at https://localhost; needs mkcert")
      ->group(group);
}

void add_endpoint_options(CLI::App& login, Endpoints& endpoints) {
  const auto option = [&](const char* name, std::string& target, const char* help) {
    login.add_option(name, target, help)->group("A provider that can't be asked for its endpoints");
  };
  option("--authorization-endpoint", endpoints.authorization, "where the browser begins");
  option("--token-endpoint", endpoints.token, "where tokens are issued");
  option("--device-authorization-endpoint", endpoints.device_authorization, "for --device");
  option("--revocation-endpoint", endpoints.revocation, "for logout");
  option("--par-endpoint", endpoints.pushed_authorization_request,
         "where authorization requests are pushed (RFC 9126)");
  option("--jwks-endpoint", endpoints.jwks, "the keys that sign id tokens");
}

void add_login_command(CLI::App& app, Parsed& p) {
  auto* login = add(app, "login",
                    "log in with a handle, a DID or the URL of a server; or at any other provider",
                    p, [&p](const Options& o) { return run_login(o, p.login); });
  login->add_option("who", p.login.who, "handle, DID or URL of an AT Protocol account");
  login->add_option("--scope", p.login.scope,
                    "permissions to ask for; \"atproto transition:generic\" for an AT Protocol "
                    "account, none for others if not given");
  login->add_flag("--no-browser", p.login.no_browser,
                  "only print the address, for a browser on this machine");
  login->add_flag("--paste", p.login.paste,
                  "paste the final address here, for a browser on another machine");
  login
      ->add_option("--timeout", p.login.timeout_seconds,
                   "seconds to wait for you, at most 600: a login is not remembered for longer")
      ->check(CLI::Range(1, 600));
  login->add_flag("--device", p.login.device, "by a code that you type on another device");
  login->add_flag("--resume", p.login.resume, "go on waiting for the code of before");
  login->add_flag("--no-qr", p.login.no_qr, "show no QR code");
  login->add_option("--api-key-file", p.login.api_key_file,
                    "keep the API key in this file (-: standard input) as a profile");
  const std::string group = "A client of your own, for an AT Protocol account";
  auto* metadata = login
                       ->add_option("--client-metadata", p.login.client_metadata,
                                    "its metadata document: a file, or the URL that it is at")
                       ->group(group);
  login->add_option("--client-keys", p.login.client_keys, "the file with its private keys")
      ->group(group)
      ->needs(metadata);
  add_client_options(*login, p.login.profile);
  add_endpoint_options(*login, p.login.profile.endpoints);
}

void add_account_commands(CLI::App& app, Parsed& p) {
  add(app, "sessions", "list who is logged in", p, run_sessions);
  auto* status = add(app, "status", "how all accounts and profiles stand", p,
                     [&p](const Options& o) { return run_status(o, p.status); });
  status->add_flag("--check", p.status.check,
                   "ask the servers too; takes 10 s at most, but a refresh under way is finished");
  auto* use = add(app, "use", "choose the account or profile that commands are for", p,
                  [&p](const Options& o) { return run_use(o, p.use); });
  auto* name = use->add_option("name", p.use.name,
                               "a profile, a handle or a DID; tells the choice if not given");
  use->add_flag("--none", p.use.none, "forget the choice")->excludes(name);
  add(app, "whoami", "show the account that commands act for", p, run_whoami);
  auto* resolve = add(app, "resolve", "show what a handle or DID leads to, without logging in", p,
                      [&p](const Options& o) { return run_resolve(o, p.resolve); });
  resolve->add_option("who", p.resolve.who, "handle, DID or URL of an AT Protocol account")
      ->required();
}

void add_session_commands(CLI::App& app, Parsed& p) {
  add(app, "refresh", "renew the access token now", p, run_refresh);
  auto* token = add(app, "token", "tell of an access token that is good now", p,
                    [&p](const Options& o) { return run_token(o, p.token); });
  token->add_flag("--reveal", p.token.reveal, "print the token itself");
  auto* logout = add(app, "logout", "end a session here and at the server", p,
                     [&p](const Options& o) { return run_logout(o, p.logout); });
  logout->add_flag("--all", p.logout.all, "all sessions and profiles");
  logout->add_flag("--forget", p.logout.forget, "erase it here even if the server can't be told");
  auto* doctor = add(app, "doctor", "check this machine's set-up, and say what to do", p,
                     [&p](const Options& o) { return run_doctor(o, p.doctor); });
  doctor->add_flag("--fix", p.doctor.fix,
                   "correct permissions, remove leftovers, move corrupt records aside");
  doctor->add_option("--quarantine", p.doctor.quarantine,
                     "move this unreadable record aside too, of another vault or a newer program");
}

void add_write_options(CLI::App& command, RecordCommand& record) {
  auto* validate = command.add_flag("--validate", record.validate,
                                    "only if the server knows the record's lexicon and it fits");
  command
      .add_flag("--no-validate", record.skip_validation,
                "the server does not check the record against its lexicon")
      ->excludes(validate);
  command.add_option("--swap-commit", record.swap_commit,
                     "only if the repository's last commit is this CID");
}

void add_record_commands(CLI::App& app, Parsed& p) {
  auto* record = app.add_subcommand("record", "records in your repository")
                     ->fallthrough()
                     ->require_subcommand(1);
  const auto with = [&p](Exit (*run)(const Options&, const RecordCommand&)) {
    return [&p, run](const Options& o) { return run(o, p.record); };
  };
  auto* create = add(*record, "create", "create a record", p, with(run_record_create));
  create->add_option("collection", p.record.collection, "its NSID, e.g. app.bsky.feed.post")
      ->required();
  create->add_option("json", p.record.value, "JSON, - for standard input, @FILE")->required();
  create->add_option("--rkey", p.record.rkey, "record key; a new TID if not given");
  add_write_options(*create, p.record);

  auto* put = add(*record, "put", "create or replace a record", p, with(run_record_put));
  put->add_option("collection", p.record.collection, "its NSID")->required();
  put->add_option("rkey", p.record.rkey, "record key")->required();
  put->add_option("json", p.record.value, "JSON, - for standard input, @FILE")->required();
  put->add_option("--swap", p.record.swap, "only if the record is now this CID, or null for none");
  add_write_options(*put, p.record);

  auto* get = add(*record, "get", "print a record", p, with(run_record_get));
  get->add_option("uri", p.record.uri, "at://REPO/COLLECTION/RKEY")->required();

  auto* list = add(*record, "list", "list the records of a collection", p, with(run_record_list));
  list->add_option("collection", p.record.collection, "its NSID")->required();
  list->add_option("--repo", p.record.repo, "whose; yours if not given");
  list->add_option("--limit", p.record.limit, "at most so many; with --all so many at once")
      ->check(CLI::Range(1, 100));
  list->add_option("--cursor", p.record.cursor, "go on where the last page ended");
  list->add_flag("--all", p.record.all, "all pages, one record a line");

  auto* remove = add(*record, "delete", "delete a record", p, with(run_record_delete));
  remove->add_option("uri", p.record.uri, "at://REPO/COLLECTION/RKEY")->required();
  remove->add_option("--swap", p.record.swap, "only if the record is now this CID");
  remove->add_option("--swap-commit", p.record.swap_commit,
                     "only if the repository's last commit is this CID");
}

void add_call_commands(CLI::App& app, Parsed& p) {
  auto* query = add(app, "query", "call an XRPC query of your PDS", p,
                    [&p](const Options& o) { return run_query(o, p.call); });
  query->add_option("nsid", p.call.nsid, "e.g. com.atproto.server.getSession")->required();
  query->add_option("parameters", p.call.parameters, "NAME=VALUE; a name may be repeated");
  auto* procedure = add(app, "procedure", "call an XRPC procedure of your PDS", p,
                        [&p](const Options& o) { return run_procedure(o, p.call); });
  procedure->add_option("nsid", p.call.nsid, "its NSID")->required();
  procedure->add_option("json", p.call.data, "JSON, - for standard input, @FILE");
  for (CLI::App* call : {query, procedure}) {
    call->add_option("--proxy", p.call.proxy,
                     "the service that your PDS passes it on to, as DID#service");
  }
  auto* blob =
      app.add_subcommand("blob", "blobs of your records")->fallthrough()->require_subcommand(1);
  auto* upload = add(*blob, "upload", "upload a file, and print what a record refers to it with", p,
                     [&p](const Options& o) { return run_blob_upload(o, p.blob); });
  upload->add_option("file", p.blob.file, "its name")->required();
  upload->add_option("--type", p.blob.type, "what it is, e.g. image/png")->capture_default_str();
}

void add_request_commands(CLI::App& app, Parsed& p) {
  auto* request = add(app, "request", "send any request with the session's token and proof", p,
                      [&p](const Options& o) { return run_request(o, p.request); });
  request->add_option("method", p.request.method, "GET, POST, ...")->required();
  request
      ->add_option("url", p.request.url,
                   "a URL on your PDS, or on a server that the profile names; or a path there")
      ->required();
  request->add_option("--data", p.request.data, "body: text, - for standard input, @FILE");
  request->add_option("--content-type", p.request.content_type, "application/json if not given");

  auto* dpop = add(app, "dpop", "print a DPoP proof for a request", p,
                   [&p](const Options& o) { return run_dpop(o, p.dpop); });
  dpop->add_option("method", p.dpop.method, "GET, POST, ...")->required();
  dpop->add_option("url", p.dpop.url, "the URL it is for")->required();
  dpop->add_flag("--reveal", p.dpop.reveal,
                 "print the Authorization header too: it holds the access token");
}

void add_vault_commands(CLI::App& app, Parsed& p) {
  auto* vault = app.add_subcommand("vault", "the vault that seals keys and sessions")
                    ->fallthrough()
                    ->require_subcommand(1);
  add(*vault, "status", "what opens it, and what is sealed with which data key", p,
      run_vault_status);
  auto* rewrap = add(*vault, "rewrap", "put it under another master key", p,
                     [&p](const Options& o) { return run_vault_rewrap(o, p.vault); });
  rewrap
      ->add_option("--to", p.vault.to,
                   "key-file, key-file:PATH, keychain, passphrase or command:PROGRAM ARG...")
      ->required();
  auto* rotate = add(*vault, "rotate", "make a new data key, and seal everything anew with it", p,
                     [&p](const Options& o) { return run_vault_rotate(o, p.vault); });
  rotate->add_flag("--drop-old", p.vault.drop_old,
                   "instead: drop old data keys that no key and no session of this store is sealed "
                   "with; only if the vault seals no other store");
}

void add_store_commands(CLI::App& app, Parsed& p) {
  auto* store = app.add_subcommand("store", "the store that sessions are kept in")
                    ->fallthrough()
                    ->require_subcommand(1);
  auto* migrate = add(*store, "migrate", "move all sessions and keys into another store", p,
                      [&p](const Options& o) { return run_store_migrate(o, p.migrate); });
  migrate->add_option("--from", p.migrate.from, "the source, as for --store; --store if not given");
  migrate
      ->add_option("--to", p.migrate.to,
                   "the target, as for --store; --master-key is that of its vault")
      ->required();
  migrate->add_option(
      "--from-master-key", p.migrate.from_master_key,
      "what opens the source's vault, as for --master-key: a command, or a key file that is "
      "not in the default place, must be named");
  migrate->add_flag("--dry-run", p.migrate.dry_run, "only count what would be moved");
  add(*store, "stats", "how many sessions, keys and logins it holds, and whose", p,
      run_store_stats);
  auto* gc = add(*store, "gc", "remove expired logins, and sessions that ended long ago", p,
                 [&p](const Options& o) { return run_store_gc(o, p.gc); });
  gc->add_option("--dead-after", p.gc.dead_after_days, "days that a session is kept after its end")
      ->check(CLI::Range(0, 36500))
      ->capture_default_str();
  gc->add_flag("--dry-run", p.gc.dry_run, "only count what would be removed");
}

void add_trace_command(CLI::App& app, Parsed& p) {
  auto* trace = add(app, "trace", "make a page of what --trace recorded", p,
                    [&p](const Options& o) { return run_trace(o, p.trace); });
  trace->add_option("file", p.trace.file, "the file; - for standard input")->required();
  trace->add_option("-o,--output", p.trace.output,
                    "write the page to this file instead of standard output");
}

void add_client_metadata_commands(CLI::App& app, Parsed& p) {
  auto* metadata = app.add_subcommand("client-metadata", "the document of a client of your own")
                       ->fallthrough()
                       ->require_subcommand(1);
  auto* make =
      add(*metadata, "new", "print a metadata document, to be served at its client_id", p,
          [&p](const Options& o) { return run_client_metadata_new(o, p.client_metadata); });
  make->add_option("--client-id", p.client_metadata.client_id, "the https URL it will be at")
      ->required();
  make->add_option("--redirect-uri", p.client_metadata.redirect_uris,
                   "where the browser ends; may be repeated")
      ->required();
  make->add_option("--scope", p.client_metadata.scope, "all that it will ever ask for")
      ->capture_default_str();
  make->add_option("--name", p.client_metadata.name, "shown to people");
  make->add_flag("--native", p.client_metadata.native, "a program on the user's own machine");
  make->add_option("--keys", p.client_metadata.keys,
                   "a confidential client: the file with its private keys, made if not there");
  make->add_flag("--rotate", p.client_metadata.rotate, "first make a new key in that file");
  auto* lint =
      add(*metadata, "lint", "say which rules a metadata document breaks", p,
          [&p](const Options& o) { return run_client_metadata_lint(o, p.client_metadata); });
  lint->add_option("document", p.client_metadata.where, "a file, or the URL that it is at")
      ->required();
  lint->add_flag("--hosted", p.client_metadata.hosted,
                 "also compare the file with what is served at its client_id");
}

void add_sandbox_command(CLI::App& app, Parsed& p) {
  auto* sandbox =
      add(app, "sandbox",
          "run a PDS, authorization server and PLC directory on this machine, for tests", p,
          [&p](const Options& o) { return run_sandbox(o, p.sandbox); });
  sandbox
      ->add_option("--port", p.sandbox.port,
                   "port of the PDS, the other two follow; any free ones if not given")
      ->check(CLI::Range(0, 65533));
  sandbox->add_option("--access-token-lifetime", p.sandbox.access_token_lifetime, "seconds")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  sandbox
      ->add_option("--nonce-rotation", p.sandbox.nonce_rotation,
                   "seconds until the next DPoP nonce")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  sandbox->add_flag("--auto-approve", p.sandbox.auto_approve,
                    "the authorization page says yes without asking");
  sandbox->add_option("--client", p.sandbox.clients,
                      "file with the metadata document of a registered client (RFC 7591), its "
                      "client_secret included; may be repeated");
  sandbox->add_option(
      "--data", p.sandbox.data,
      "keep accounts, sessions and records in this file, with --port for logins that "
      "outlive a restart; in memory if not given");
  sandbox->add_flag("--control", p.sandbox.control,
                    "also open a port for scripting faults; its address and token are printed");
}

int finish_parsing(const CLI::App& app, const CLI::ParseError& event, bool json) {
  // Help and version end the parsing too, and are no errors.
  if (event.get_exit_code() == 0) return app.exit(event);
  const std::string message =
      without_passwords(event.what()) + "; run latchkey --help, or latchkey COMMAND --help";
  return static_cast<int>(
      report(latchkey::make_error(latchkey::ErrorCode::invalid_argument, "cli.usage", message),
             json ? Format::json : Format::text));
}

// A descriptor that is closed when we start would be the next file that is opened: what is said to
// a person would be written into the sessions.
void keep_standard_streams() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (fcntl(fd, F_GETFD) < 0) static_cast<void>(open("/dev/null", O_RDWR));
  }
}

// With a trace of it, if one is asked for. Looking at traces leaves none.
Exit run_command(const CLI::App& app, Parsed& parsed) {
  Options& options = parsed.options;
  const std::string name = app.get_subcommands().front()->get_name();
  if (name == "trace") return parsed.command(options);
  auto tracer = open_trace(options);
  if (!tracer) return report(tracer.error(), options.format);
  options.tracer = *std::move(tracer);
  if (!options.tracer) return parsed.command(options);
  trace_command(*options.tracer, name);
  const Exit exit = parsed.command(options);
  trace_end(*options.tracer, exit == Exit::ok ? CommandEnd::well : CommandEnd::badly);
  return exit;
}

// A result that nobody could read is none.
int finish(Exit exit) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return static_cast<int>(exit);
  say("the result could not be written to standard output");
  return static_cast<int>(exit == Exit::ok ? Exit::failed : exit);
}

}  // namespace

int main(int argc, char** argv) {
  keep_standard_streams();
  latchkey::forbid_core_dumps();
  std::signal(SIGPIPE, SIG_IGN);  // a reader that goes away must not cut a refresh off
  Parsed parsed;
  CLI::App app{
      "logs in with OAuth and never loses the login again\n\n"
      "  latchkey login alice.bsky.social\n"
      "  latchkey login --issuer https://id.example.com --client-id my-client --scope openid\n"
      "  latchkey record create app.bsky.feed.post "
      "'{\"text\":\"hi\",\"createdAt\":\"2026-01-01T00:00:00Z\"}'\n",
      "latchkey"};
  app.set_version_flag("--version", "latchkey " LATCHKEY_VERSION);
  app.require_subcommand(1);
  add_global_options(app, parsed);
  add_login_command(app, parsed);
  add_account_commands(app, parsed);
  add_session_commands(app, parsed);
  add_record_commands(app, parsed);
  add_call_commands(app, parsed);
  add_request_commands(app, parsed);
  add_vault_commands(app, parsed);
  add_store_commands(app, parsed);
  add_trace_command(app, parsed);
  add_client_metadata_commands(app, parsed);
  add_sandbox_command(app, parsed);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& event) {
    const bool json =
        std::any_of(argv, argv + argc, [](std::string_view word) { return word == "--json"; });
    return finish_parsing(app, event, json);
  }
  if (parsed.json) parsed.options.format = Format::json;
  parsed.options.stop = stop_at_signals();
  return finish(run_command(app, parsed));
}
