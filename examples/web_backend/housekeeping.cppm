// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <thread>
export module latchkey.examples.web_backend.housekeeping;
import latchkey.examples.web_backend.visitors;
import latchkey.store;

export namespace web_backend {

/// Every hour it removes what is of no use any more: logins that nobody finished, their keys,
/// visitors who have not come for long. All processes may do so.
class Housekeeping {
 public:
  Housekeeping(std::shared_ptr<latchkey::OAuthTokenStore> store,
               std::shared_ptr<Visitors> visitors);

 private:
  std::jthread thread_;
};

}  // namespace web_backend
