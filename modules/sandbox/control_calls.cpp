// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>
module latchkey.sandbox.control_calls;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.sandbox;
import latchkey.sandbox.fault_json;

namespace latchkey::sandbox {
namespace {

constexpr std::string_view kDone = "{}";

// --- reading a call ---------------------------------------------------------------------------

struct Call {
  FormFields query;
  JsonObject body;
};

// A misspelt member must not do nothing in silence.
Result<void> only(const JsonObject& body, std::initializer_list<std::string_view> known) {
  for (const auto& name : body.names()) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    return control_refusal(
        400, "control.unknown_member",
        "this call has no member " + printable(name, 64) + "; see docs/sandbox.md");
  }
  return {};
}

Result<std::optional<std::int64_t>> integer(const JsonObject& body, std::string_view name,
                                            std::int64_t min, std::int64_t max) {
  auto number = body.integer(name);
  if (number && *number && (**number < min || **number > max)) {
    return control_refusal(
        400, "control.range",
        std::string(name) + " must be " + std::to_string(min) + " to " + std::to_string(max));
  }
  return number;
}

Result<std::string> account_in(const Sandbox& sandbox, std::string account) {
  for (const auto& one : sandbox.accounts()) {
    if (one.handle == account || one.did == account) return account;
  }
  return control_refusal(404, "control.account",
                         "there is no such account; give a handle or a DID");
}

Result<std::string> account_of(const Sandbox& sandbox, const JsonObject& body) {
  auto account = body.required_string("account");
  return account ? account_in(sandbox, *std::move(account)) : std::move(account);
}

// --- what is told -----------------------------------------------------------------------------

std::string account_json(const Account& account) {
  return json_object({{"handle", json_quote(account.handle)},
                      {"did", json_quote(account.did)},
                      {"password", json_quote(account.password)},
                      {"auto_approve", account.auto_approve ? "true" : "false"},
                      {"moved_to", json_quote(account.moved_to)}});
}

std::string proof_json(const std::optional<ProofSummary>& proof) {
  if (!proof) return "null";
  return json_object({{"jti", json_quote(proof->jti)},
                      {"nonce", proof->nonce ? "true" : "false"},
                      {"ath", proof->ath ? "true" : "false"}});
}

std::string record_json(const RecordedRequest& record) {
  return json_object({{"n", std::to_string(record.number)},
                      {"server", json_quote(to_string(record.server))},
                      {"method", json_quote(record.method)},
                      {"path", json_quote(record.path)},
                      {"agent", json_quote(record.agent)},
                      {"grant_type", json_quote(record.grant_type)},
                      {"redirect_uri", json_quote(record.redirect_uri)},
                      {"proof", proof_json(record.proof)},
                      {"status", std::to_string(record.status)},
                      {"error", json_quote(record.error)},
                      {"detail", json_quote(record.detail)},
                      {"fault", json_quote(record.fault)}});
}

template <class Items, class Write>
std::string json_list(const Items& items, Write write) {
  std::string out = "[";
  for (const auto& item : items) {
    if (out.size() > 1) out += ',';
    out += write(item);
  }
  return out + ']';
}

// --- the calls --------------------------------------------------------------------------------

using Answer = Result<std::string>;

Answer get_log(Sandbox& sandbox, const Call& call) {
  std::uint64_t since = 0;
  if (const auto text = field(call.query, "since")) {
    const auto* end = text->data() + text->size();
    const auto [stopped, fault] = std::from_chars(text->data(), end, since);
    if (fault != std::errc{} || stopped != end) {
      return control_refusal(400, "control.range", "since must be a number of the log");
    }
  }
  auto records = sandbox.requests();
  std::erase_if(records, [&](const auto& record) { return record.number <= since; });
  return json_object({{"requests", json_list(records, record_json)}});
}

Answer forget_log(Sandbox& sandbox, const Call&) {
  sandbox.forget_requests();
  return std::string(kDone);
}

Answer get_counts(Sandbox& sandbox, const Call&) {
  const auto counts = sandbox.counts();
  return json_object({{"logins", std::to_string(counts.logins)},
                      {"refreshes", std::to_string(counts.refreshes)},
                      {"replays", std::to_string(counts.replays)},
                      {"ended", std::to_string(counts.ended)},
                      {"revoked", std::to_string(counts.revoked)}});
}

Answer get_faults(Sandbox& sandbox, const Call&) {
  return json_object({{"faults", json_list(sandbox.faults(), fault_to_json)}});
}

Answer add_fault(Sandbox& sandbox, const Call& call) {
  auto fault = fault_from_json(call.body);
  if (!fault) return std::move(fault).error();
  sandbox.inject(*std::move(fault));
  return std::string(kDone);
}

Answer clear_faults(Sandbox& sandbox, const Call&) {
  sandbox.clear_faults();
  sandbox.release();
  return std::string(kDone);
}

Answer release(Sandbox& sandbox, const Call&) {
  sandbox.release();
  return std::string(kDone);
}

Answer close_idle(Sandbox& sandbox, const Call&) {
  sandbox.close_idle();
  return std::string(kDone);
}

Answer start_capture(Sandbox& sandbox, const Call&) {
  sandbox.capture_secrets();
  return std::string(kDone);
}

Answer get_captured(Sandbox& sandbox, const Call&) {
  return json_object({{"secrets", json_strings(sandbox.captured_secrets())}});
}

Answer refuse_issued(Sandbox& sandbox, const Call&) {
  sandbox.expire_access_tokens();
  return std::string(kDone);
}

Answer change_settings(Sandbox& sandbox, const Call& call) {
  using std::chrono::seconds;
  constexpr std::int64_t day = 86'400;
  const auto known =
      only(call.body, {"access_token_lifetime_s", "nonce_rotation_s", "clock_ahead_s"});
  if (!known) return known.error();
  const auto lifetime = integer(call.body, "access_token_lifetime_s", 1, day);
  if (!lifetime) return lifetime.error();
  const auto rotation = integer(call.body, "nonce_rotation_s", 1, day);
  if (!rotation) return rotation.error();
  const auto ahead = integer(call.body, "clock_ahead_s", -365 * day, 365 * day);
  if (!ahead) return ahead.error();
  if (*lifetime) sandbox.set_access_lifetime(seconds(**lifetime));
  if (*rotation) sandbox.set_nonce_rotation(seconds(**rotation));
  if (*ahead) sandbox.set_clock_skew(seconds(**ahead));
  return std::string(kDone);
}

Answer count_sessions(Sandbox& sandbox, const Call& call) {
  const auto account = account_in(sandbox, field(call.query, "account").value_or(""));
  if (!account) return account.error();
  return json_object({{"count", std::to_string(sandbox.live_sessions(*account))}});
}

Answer revoke(Sandbox& sandbox, const Call& call) {
  if (const auto known = only(call.body, {"account"}); !known) return known.error();
  const auto account = account_of(sandbox, call.body);
  if (!account) return account.error();
  return json_object({{"ended", std::to_string(sandbox.end_sessions(*account))}});
}

Answer get_accounts(Sandbox& sandbox, const Call&) {
  return json_object({{"accounts", json_list(sandbox.accounts(), account_json)}});
}

Answer add_account(Sandbox& sandbox, const Call& call) {
  const auto known = only(call.body, {"handle", "password", "auto_approve", "did"});
  if (!known) return known.error();
  const auto handle = call.body.required_string("handle");
  if (!handle) return handle.error();
  const auto password = call.body.string("password");
  if (!password) return password.error();
  const auto approve = call.body.boolean("auto_approve");
  if (!approve) return approve.error();
  const auto did = call.body.string("did");
  if (!did) return did.error();
  const auto added = sandbox.add_account(*handle, password->value_or(""), approve->value_or(false),
                                         did->value_or(""));
  if (!added) return added.error();
  return account_json(*added);
}

Answer set_auto_approve(Sandbox& sandbox, const Call& call) {
  if (const auto known = only(call.body, {"account", "auto_approve"}); !known) return known.error();
  const auto account = account_of(sandbox, call.body);
  if (!account) return account.error();
  const auto approve = call.body.boolean("auto_approve");
  if (!approve) return approve.error();
  if (!*approve) return call.body.missing("auto_approve");
  sandbox.set_auto_approve(*account, **approve);
  return std::string(kDone);
}

Answer add_client(Sandbox& sandbox, const Call& call) {
  if (const auto known = only(call.body, {"metadata"}); !known) return known.error();
  const auto metadata = call.body.json_text("metadata");
  if (!metadata) return call.body.missing("metadata");
  if (auto added = sandbox.add_client({.metadata = *metadata}); !added) {
    return std::move(added).error();
  }
  return std::string(kDone);
}

Error no_device() {
  return control_refusal(404, "control.user_code",
                         "no device waits with this user_code; it is decided, or over");
}

Answer approve_device(Sandbox& sandbox, const Call& call) {
  if (const auto known = only(call.body, {"user_code", "account"}); !known) return known.error();
  const auto user_code = call.body.required_string("user_code");
  if (!user_code) return user_code.error();
  const auto account = account_of(sandbox, call.body);
  if (!account) return account.error();
  if (!sandbox.approve_device(*user_code, *account)) return no_device();
  return std::string(kDone);
}

Answer deny_device(Sandbox& sandbox, const Call& call) {
  if (const auto known = only(call.body, {"user_code"}); !known) return known.error();
  const auto user_code = call.body.required_string("user_code");
  if (!user_code) return user_code.error();
  if (!sandbox.deny_device(*user_code)) return no_device();
  return std::string(kDone);
}

Answer rotate_keys(Sandbox& sandbox, const Call& call) {
  constexpr std::int64_t kHour = 3600;
  if (const auto known = only(call.body, {"keep_old_s"}); !known) return known.error();
  const auto keep = integer(call.body, "keep_old_s", 0, 24 * kHour);
  if (!keep) return keep.error();
  sandbox.rotate_signing_keys(std::chrono::seconds(keep->value_or(kHour)));
  return std::string(kDone);
}

Answer move_account(Sandbox& sandbox, const Call& call) {
  if (const auto known = only(call.body, {"account", "pds"}); !known) return known.error();
  const auto account = account_of(sandbox, call.body);
  if (!account) return account.error();
  const auto pds = call.body.required_string("pds");
  if (!pds) return pds.error();
  if (auto moved = sandbox.move_account(*account, *pds); !moved) return std::move(moved).error();
  return std::string(kDone);
}

Answer change_handle(Sandbox& sandbox, const Call& call) {
  if (const auto known = only(call.body, {"account", "handle"}); !known) return known.error();
  const auto account = account_of(sandbox, call.body);
  if (!account) return account.error();
  const auto handle = call.body.required_string("handle");
  if (!handle) return handle.error();
  if (auto done = sandbox.change_handle(*account, *handle); !done) return std::move(done).error();
  return std::string(kDone);
}

Answer get_hostile_forms(Sandbox&, const Call&) {
  std::vector<std::string> names;
  for (const auto& form : hostile_forms()) names.push_back(form.name);
  return json_object({{"forms", json_strings(names)}});
}

struct Route {
  std::string_view method, path;
  Answer (*answer)(Sandbox&, const Call&);
};

constexpr std::array kRoutes{Route{"GET", "/log", get_log},
                             Route{"DELETE", "/log", forget_log},
                             Route{"GET", "/counts", get_counts},
                             Route{"GET", "/faults", get_faults},
                             Route{"POST", "/faults", add_fault},
                             Route{"DELETE", "/faults", clear_faults},
                             Route{"POST", "/release", release},
                             Route{"POST", "/close-idle", close_idle},
                             Route{"GET", "/capture", get_captured},
                             Route{"POST", "/capture", start_capture},
                             Route{"POST", "/refuse-issued", refuse_issued},
                             Route{"POST", "/settings", change_settings},
                             Route{"GET", "/sessions", count_sessions},
                             Route{"POST", "/revoke", revoke},
                             Route{"GET", "/accounts", get_accounts},
                             Route{"POST", "/accounts", add_account},
                             Route{"POST", "/auto-approve", set_auto_approve},
                             Route{"POST", "/clients", add_client},
                             Route{"POST", "/approve-device", approve_device},
                             Route{"POST", "/deny-device", deny_device},
                             Route{"POST", "/rotate-keys", rotate_keys},
                             Route{"POST", "/move", move_account},
                             Route{"POST", "/handle", change_handle},
                             Route{"GET", "/hostile-forms", get_hostile_forms}};

Result<const Route*> route_of(const Request& request) {
  bool path_known = false;
  for (const auto& route : kRoutes) {
    if (route.path != request.path) continue;
    if (route.method == request.method) return &route;
    path_known = true;
  }
  if (path_known) return control_refusal(405, "control.method", "this call has another method");
  return control_refusal(404, "control.path", "there is no such call; see docs/sandbox.md");
}

}  // namespace

Error control_refusal(int status, std::string_view detail, std::string problem) {
  Error error = make_error(ErrorCode::invalid_argument, detail, std::move(problem));
  error.http_status = status;
  return error;
}

Result<std::string> control_call(Sandbox& sandbox, const Request& request) {
  const auto route = route_of(request);
  if (!route) return route.error();
  auto query = form_decode(request.query);
  if (!query) return control_refusal(400, "control.query", "the query is malformed");
  auto body = JsonObject::parse(request.body.empty() ? kDone : std::string_view(request.body),
                                ErrorCode::invalid_argument, "control");
  if (!body) return std::move(body).error();
  return (*route)->answer(sandbox, {.query = *std::move(query), .body = *std::move(body)});
}

}  // namespace latchkey::sandbox
