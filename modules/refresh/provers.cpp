// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
module latchkey.refresh.provers;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.dpop.p256;
import latchkey.dpop.prover;
import latchkey.store.vault;

namespace latchkey {

// Whoever may begin logins makes keys: they must not fill the memory either.
std::shared_ptr<DpopProver> ProverCache::keep(std::string id, std::shared_ptr<DpopProver> prover) {
  const std::scoped_lock lock(mutex_);
  if (provers_.size() >= kCapacity) provers_.clear();
  return provers_.emplace(std::move(id), std::move(prover)).first->second;
}

Result<std::shared_ptr<DpopProver>> ProverCache::find(std::string_view jkt) {
  const std::string id(jkt);
  {
    const std::scoped_lock lock(mutex_);
    if (const auto known = provers_.find(id); known != provers_.end()) return known->second;
  }
  auto key = vault_ ? vault_->get(id) : Result<std::optional<SecretBytes>>(std::nullopt);
  if (!key) return std::move(key).error();
  if (!key->has_value()) {
    return make_error(ErrorCode::key_missing, "vault.key_missing",
                      "cannot prove possession of the session's key " + id.substr(0, 8) +
                          ": the vault does not hold it; log in again");
  }
  auto prover = P256DpopProver::from_bytes(**key, random_);
  if (!prover) return std::move(prover).error();
  if ((*prover)->jkt() != jkt) {
    return make_error(ErrorCode::invalid_key, "vault.key_mismatch",
                      "cannot use the key stored as " + id.substr(0, 8) +
                          ": it is another key; restore the vault or log in again");
  }
  return keep(id, *std::move(prover));
}

Result<std::shared_ptr<DpopProver>> ProverCache::create() {
  if (!vault_) {
    return make_error(ErrorCode::invalid_argument, "vault.none",
                      "cannot make a key: there is no vault to keep it in; give the client one");
  }
  auto prover = P256DpopProver::generate(random_);
  if (!prover) return std::move(prover).error();
  if (auto put = vault_->put((*prover)->jkt(), (*prover)->to_bytes()); !put)
    return std::move(put).error();
  return keep((*prover)->jkt(), *prover);
}

Result<void> ProverCache::remove(std::string_view jkt) {
  const std::string id(jkt);
  {
    const std::scoped_lock lock(mutex_);
    provers_.erase(id);
  }
  return vault_ ? vault_->remove(id) : Result<void>();
}

}  // namespace latchkey
