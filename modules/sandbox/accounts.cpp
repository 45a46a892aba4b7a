// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.sandbox.accounts;
import latchkey.atproto.identifier;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.sandbox.message;
import latchkey.sandbox.storage;

namespace latchkey::sandbox {
namespace {

constexpr std::string_view kKind = "account";

// 24 characters of base32, as in real ones; which ones, nobody signs for here.
std::string draw_did(Random& random) {
  constexpr std::string_view alphabet = "abcdefghijklmnopqrstuvwxyz234567";
  std::array<unsigned char, 24> bytes{};
  random.fill(bytes);
  std::string did = "did:plc:";
  for (const unsigned char byte : bytes) did += alphabet[byte % alphabet.size()];
  return did;
}

std::string account_json(const Account& account) {
  return json_object({{"handle", json_quote(account.handle)},
                      {"password", json_quote(account.password)},
                      {"auto_approve", account.auto_approve ? "true" : "false"},
                      {"moved_to", json_quote(account.moved_to)}});
}

Result<Account> read_account(const KeptRow& row) {
  const auto json = JsonObject::parse(row.value, ErrorCode::corrupt, "account");
  if (!json) return json.error();
  auto handle = json->required_string("handle");
  if (!handle) return std::move(handle).error();
  auto password = json->required_string("password");
  if (!password) return std::move(password).error();
  const auto auto_approve = json->boolean("auto_approve");
  if (!auto_approve) return auto_approve.error();
  auto moved_to = json->string("moved_to");
  if (!moved_to) return std::move(moved_to).error();
  return Account{.handle = *std::move(handle),
                 .did = row.key,
                 .password = *std::move(password),
                 .auto_approve = auto_approve->value_or(false),
                 .moved_to = std::move(*moved_to).value_or("")};
}

}  // namespace

Result<void> Accounts::restore(Storage& storage) {
  const auto rows = storage.all(kKind);
  if (!rows) return rows.error();
  for (const auto& row : *rows) {
    auto account = read_account(row);
    if (!account) return std::move(account).error();
    accounts_.push_back(*std::move(account));
  }
  storage_ = &storage;
  return {};
}

void Accounts::keep(const Account& account) {
  if (storage_ != nullptr) storage_->put(kKind, account.did, account_json(account));
}

Result<std::string> Accounts::free_handle(std::string_view text) const {
  auto handle = parse_handle(text);
  if (!handle) {
    return make_error(ErrorCode::invalid_argument, "sandbox.handle",
                      "cannot name an account: its handle is malformed; use one like alice.test");
  }
  if (find(*handle) == nullptr) return handle;
  return make_error(ErrorCode::conflict, "sandbox.account_exists",
                    "cannot name an account " + *handle + ": there is one; use another handle");
}

Result<Account> Accounts::add(std::string_view handle, std::string_view password, bool auto_approve,
                              std::string_view did) {
  auto name = free_handle(handle);
  if (!name) return std::move(name).error();
  if (!did.empty() && !parse_did(did)) {
    return make_error(ErrorCode::invalid_argument, "sandbox.did",
                      "cannot make an account: its DID is malformed; leave it out for a new one");
  }
  if (!did.empty() && find(did) != nullptr) {
    return make_error(ErrorCode::conflict, "sandbox.account_exists",
                      "cannot make the account " + std::string(did) + ": there is one");
  }
  accounts_.push_back(
      {.handle = *std::move(name),
       .did = did.empty() ? draw_did(random_) : std::string(did),
       .password = password.empty() ? random_token(random_, 9) : std::string(password),
       .auto_approve = auto_approve});
  keep(accounts_.back());
  return accounts_.back();
}

const Account* Accounts::find(std::string_view handle_or_did) const {
  if (handle_or_did.starts_with('@')) handle_or_did.remove_prefix(1);
  const auto found = std::find_if(accounts_.begin(), accounts_.end(), [&](const Account& account) {
    return account.did == handle_or_did || account.handle == handle_or_did;
  });
  return found == accounts_.end() ? nullptr : &*found;
}

const Account* Accounts::find_here(std::string_view handle_or_did) const {
  const Account* account = find(handle_or_did);
  return account == nullptr || !account->moved_to.empty() ? nullptr : account;
}

Result<Account*> Accounts::existing(std::string_view handle_or_did) {
  if (const Account* found = find(handle_or_did)) {
    return &accounts_[static_cast<std::size_t>(found - accounts_.data())];
  }
  return make_error(ErrorCode::invalid_argument, "sandbox.account",
                    "cannot change the account " + printable(handle_or_did, 100) +
                        ": there is none; give its handle or DID");
}

Result<void> Accounts::set_auto_approve(std::string_view handle_or_did, bool auto_approve) {
  const auto account = existing(handle_or_did);
  if (!account) return account.error();
  (*account)->auto_approve = auto_approve;
  keep(**account);
  return {};
}

Result<void> Accounts::move(std::string_view handle_or_did, std::string_view pds) {
  const auto account = existing(handle_or_did);
  if (!account) return account.error();
  (*account)->moved_to = pds;
  keep(**account);
  return {};
}

Result<void> Accounts::rename(std::string_view handle_or_did, std::string_view handle) {
  const auto account = existing(handle_or_did);
  if (!account) return account.error();
  auto name = free_handle(handle);
  if (!name) return std::move(name).error();
  (*account)->handle = *std::move(name);
  keep(**account);
  return {};
}

}  // namespace latchkey::sandbox
