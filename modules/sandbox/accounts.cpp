// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>
module latchkey.sandbox.accounts;
import latchkey.atproto.identifier;
import latchkey.core.crypto;
import latchkey.core.error;

namespace latchkey::sandbox {
namespace {

// 24 characters of base32, as in real ones; which ones, nobody signs for here.
std::string draw_did(Random& random) {
  constexpr std::string_view alphabet = "abcdefghijklmnopqrstuvwxyz234567";
  std::array<unsigned char, 24> bytes{};
  random.fill(bytes);
  std::string did = "did:plc:";
  for (const unsigned char byte : bytes) did += alphabet[byte % alphabet.size()];
  return did;
}

}  // namespace

Result<Account> Accounts::add(std::string_view handle, std::string_view password,
                              bool auto_approve) {
  const auto name = parse_handle(handle);
  if (!name) {
    return make_error(ErrorCode::invalid_argument, "sandbox.handle",
                      "cannot make an account: its handle is malformed; use one like alice.test");
  }
  if (find(*name) != nullptr) {
    return make_error(ErrorCode::conflict, "sandbox.account_exists",
                      "cannot make the account " + *name + ": there is one; use another handle");
  }
  accounts_.push_back(
      {.handle = *name,
       .did = draw_did(random_),
       .password = password.empty() ? random_token(random_, 9) : std::string(password),
       .auto_approve = auto_approve});
  return accounts_.back();
}

Account* Accounts::find(std::string_view handle_or_did) {
  if (handle_or_did.starts_with('@')) handle_or_did.remove_prefix(1);
  const auto found = std::find_if(accounts_.begin(), accounts_.end(), [&](const Account& account) {
    return account.did == handle_or_did || account.handle == handle_or_did;
  });
  return found == accounts_.end() ? nullptr : &*found;
}

}  // namespace latchkey::sandbox
