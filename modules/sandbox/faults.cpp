// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.sandbox.faults;
import latchkey.core.encoding;
import latchkey.sandbox.hostile;
import latchkey.sandbox.message;
import latchkey.sandbox.server;

namespace latchkey::sandbox {
namespace {

constexpr FaultKindNames kKinds{{{FaultKind::drop_before, "drop_before"},
                                 {FaultKind::drop_after, "drop_after"},
                                 {FaultKind::delay, "delay", "delay_ms"},
                                 {FaultKind::hold, "hold"},
                                 {FaultKind::truncate, "truncate"},
                                 {FaultKind::status, "status"},
                                 {FaultKind::status_after, "status_after"},
                                 {FaultKind::content_type, "content_type", "text"},
                                 {FaultKind::huge_body, "huge_body", "size"},
                                 {FaultKind::garbage, "garbage", "text"},
                                 {FaultKind::redirect, "redirect", "text"},
                                 {FaultKind::nonce_storm, "nonce_storm"},
                                 {FaultKind::slow_head, "slow_head", "delay_ms"},
                                 {FaultKind::slow_body, "slow_body", "delay_ms"},
                                 {FaultKind::hostile, "hostile", "text"}}};

// to_string() counts on it.
constexpr bool in_order() {
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    if (kKinds[i].kind != static_cast<FaultKind>(i)) return false;
  }
  return true;
}
static_assert(in_order());

bool matches_document(const Fault& fault, Server server, const Request& request) {
  if (fault.kind != FaultKind::hostile) return true;
  const HostileForm* form = find_hostile_form(fault.text);
  return form != nullptr && asks_for(form->document, server, request.path);
}

bool matches(const Fault& fault, Server server, const Request& request) {
  if (!matches_document(fault, server, request)) return false;
  if (fault.server && *fault.server != server) return false;
  if (!fault.method.empty() && fault.method != request.method) return false;
  if (!fault.path.empty() && fault.path != request.path) return false;
  if (fault.grant_type.empty()) return true;
  const auto fields = form_decode(request.body);
  return fields && field(*fields, "grant_type") == fault.grant_type;
}

Response failure(const Fault& fault) {
  Response response = json_answer(
      fault.status,
      json_object({{"error", fault.status == 429 ? "\"RateLimitExceeded\"" : "\"server_error\""},
                   {"message", "\"scripted\""},
                   {"error_description", "\"scripted\""}}));
  if (!fault.text.empty()) response.body = fault.text;
  if (fault.retry_after) {
    response.headers.emplace_back("Retry-After", std::to_string(fault.retry_after->count()));
  }
  return response;
}

Response redirection(const Fault& fault) {
  Response response = json_answer(307, "{}");
  response.headers.emplace_back("Location", fault.text);
  return response;
}

// Changes the right answer into what the fault makes of it.
void spoil(Response& response, const Fault& fault, std::string_view origin) {
  if (fault.kind == FaultKind::status_after) response = failure(fault);
  if (fault.kind == FaultKind::content_type) response.content_type = fault.text;
  if (fault.kind == FaultKind::garbage) response.body = fault.text;
  if (fault.kind == FaultKind::huge_body) response.body.resize(fault.size, ' ');
  if (fault.kind != FaultKind::hostile) return;
  if (const auto* form = find_hostile_form(fault.text)) make_hostile(*form, origin, response);
}

}  // namespace

const FaultKindNames& fault_kinds() noexcept {
  return kKinds;
}

std::string_view to_string(FaultKind kind) noexcept {
  return kKinds[static_cast<std::size_t>(kind)].name;
}

Fault refresh_fault(FaultKind kind) {
  return {.kind = kind,
          .server = Server::authorization,
          .method = "POST",
          .grant_type = "refresh_token"};
}

void FaultScript::add(Fault fault) {
  const std::scoped_lock lock(mutex_);
  if (fault.times > 0) faults_.push_back(std::move(fault));
}

void FaultScript::clear() {
  const std::scoped_lock lock(mutex_);
  faults_.clear();
}

std::vector<Fault> FaultScript::all() const {
  const std::scoped_lock lock(mutex_);
  return {faults_.begin(), faults_.end()};
}

std::size_t FaultScript::left() const {
  const std::scoped_lock lock(mutex_);
  std::size_t count = 0;
  for (const auto& fault : faults_) count += fault.times;
  return count;
}

std::optional<Fault> FaultScript::take(Server server, const Request& request) {
  const std::scoped_lock lock(mutex_);
  for (auto fault = faults_.begin(); fault != faults_.end(); ++fault) {
    if (!matches(*fault, server, request)) continue;
    if (fault->skip > 0) {
      --fault->skip;
      continue;
    }
    Fault met = *fault;
    if (--fault->times == 0) faults_.erase(fault);
    return met;
  }
  return std::nullopt;
}

Delivery deliver_with(const Fault& fault, std::string_view origin,
                      const std::function<Response()>& process,
                      const std::function<Response()>& ask_for_nonce) {
  switch (fault.kind) {
    case FaultKind::drop_before:
      return {.response = {}, .way = Delivery::Way::dropped};
    case FaultKind::status:
      return {.response = failure(fault)};
    case FaultKind::redirect:
      return {.response = redirection(fault)};
    case FaultKind::nonce_storm:
      return {.response = ask_for_nonce()};
    default:
      break;
  }
  Delivery delivery{.response = process()};
  spoil(delivery.response, fault, origin);
  switch (fault.kind) {
    case FaultKind::drop_after:
      delivery.way = Delivery::Way::dropped;
      break;
    case FaultKind::truncate:
      delivery.way = Delivery::Way::truncated;
      break;
    case FaultKind::slow_head:
      delivery.way = Delivery::Way::slow_head;
      delivery.delay = fault.delay;
      break;
    case FaultKind::slow_body:
      delivery.way = Delivery::Way::slow_body;
      delivery.delay = fault.delay;
      break;
    case FaultKind::delay:
      delivery.delay = fault.delay;
      break;
    case FaultKind::hold:
      delivery.held = true;
      break;
    default:
      break;
  }
  return delivery;
}

}  // namespace latchkey::sandbox
