// SPDX-License-Identifier: MIT
module;
#include <string>
#include <utility>
export module latchkey.sandbox.plc;
import latchkey.sandbox.accounts;
import latchkey.sandbox.message;

// The directory of DIDs: GET /DID gives the DID document.

export namespace latchkey::sandbox {

class PlcDirectory {
 public:
  PlcDirectory(Accounts& accounts, std::string pds) : accounts_(accounts), pds_(std::move(pds)) {}
  [[nodiscard]] Response handle(const Request& request);

 private:
  Accounts& accounts_;
  std::string pds_;
};

}  // namespace latchkey::sandbox
