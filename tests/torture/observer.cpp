// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.torture_observer;
import latchkey.core;
import latchkey.dpop.jwk;
import latchkey.http;
import latchkey.sandbox;
import latchkey.test.torture_books;
import latchkey.test.torture_notes;
import latchkey.test.torture_schedule;

namespace latchkey::test {
namespace {

using sandbox::FaultKind;

// Of a fault, as the records name it; empty: no fault.
std::optional<FaultKind> kind_of(std::string_view name) {
  for (auto kind = FaultKind::drop_before; kind <= FaultKind::nonce_storm;
       kind = static_cast<FaultKind>(static_cast<int>(kind) + 1)) {
    if (sandbox::to_string(kind) == name) return kind;
  }
  return std::nullopt;
}

// The server did what was asked, whatever became of the answer.
bool was_processed(const sandbox::RecordedRequest& request) {
  const auto fault = kind_of(request.fault);
  if (!fault) return request.status == 200;
  constexpr std::array kUnprocessed{FaultKind::drop_before, FaultKind::status, FaultKind::redirect,
                                    FaultKind::nonce_storm};
  return std::find(kUnprocessed.begin(), kUnprocessed.end(), *fault) == kUnprocessed.end();
}

// The thumbprint of the key in a proof of ours: its header is {"typ":…,"alg":…,"jwk":{…}}.
std::string key_of_proof(const std::string* proof) {
  if (proof == nullptr) return {};
  const auto header = base64url_decode(std::string_view(*proof).substr(0, proof->find('.')));
  if (!header) return {};
  const std::string_view text = as_text(*header);
  const auto name = text.find("\"jwk\":");
  if (name == std::string_view::npos) return {};
  const auto begin = text.find('{', name), end = text.find('}', name);
  if (begin == std::string_view::npos || end == std::string_view::npos) return {};
  return jwk_thumbprint(text.substr(begin, end - begin + 1)).value_or("");
}

}  // namespace

ServedRefresh served_refresh(const sandbox::RecordedRequest& request) {
  ServedRefresh refresh;
  if (request.grant_type != "refresh_token") return refresh;
  const auto form = form_decode(request.contents.body);
  const auto token = form ? form_value(*form, "refresh_token") : nullptr;
  if (!token || *token == nullptr) return refresh;
  const std::string* proof = request.contents.headers.find("DPoP");
  refresh.key = key_of_proof(proof);
  refresh.request = proof == nullptr ? 0 : mark_of(*proof);
  refresh.token = mark_of(**token);
  refresh.fault = request.fault;
  refresh.refusal = request.detail;
  refresh.consumed = request.detail.empty() && was_processed(request);
  const auto fault = kind_of(request.fault);
  refresh.answer = fault && loses_answer(*fault) ? Answer::lost : Answer::delivered;
  return refresh;
}

void Observer::look() {
  const std::scoped_lock lock(mutex_);
  look_with_lock();
}

void Observer::look_with_lock() {
  for (const auto& request : servers_.take_requests()) {
    if (!request.fault.empty()) ++faults_[request.fault];
    if (auto refresh = served_refresh(request); !refresh.key.empty())
      books_.enter(std::move(refresh));
  }
}

void Observer::enter_cut(const std::vector<RefreshNote>& cut) {
  const std::scoped_lock lock(mutex_);
  for (const RefreshNote& one : cut) books_.enter_cut(one);
}

void Observer::enter_notes(const std::vector<RefreshNote>& notes) {
  const std::scoped_lock lock(mutex_);
  for (const RefreshNote& one : notes) books_.enter_note(one);
}

void Observer::enter_stop(Stop stop) {
  const std::scoped_lock lock(mutex_);
  books_.enter_stop(std::move(stop));
}

Death Observer::judge(const std::string& key) {
  const std::scoped_lock lock(mutex_);
  look_with_lock();
  return books_.judge(key);
}

bool Observer::explains_claim(std::size_t subject, const std::string& key) {
  const std::scoped_lock lock(mutex_);
  look_with_lock();
  return books_.explains_claim(subject, key);
}

Books Observer::books() {
  const std::scoped_lock lock(mutex_);
  look_with_lock();
  return books_;
}

std::map<std::string, unsigned> Observer::faults() {
  const std::scoped_lock lock(mutex_);
  return faults_;
}

}  // namespace latchkey::test
