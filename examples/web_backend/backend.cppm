// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <string>
#include <string_view>
export module latchkey.examples.web_backend.backend;
import latchkey;
import latchkey.examples.web_backend.http_server;
import latchkey.examples.web_backend.site;
import latchkey.examples.web_backend.visitors;

// The website: log in, post, log out. authorize() and callback() are all that it needs of the
// login, and a DID is all that it needs of the session.

export namespace web_backend {

/// Thread-safe.
class Backend {
 public:
  /// `client`: the site's. Throws std::exception if a page has the path of the callback.
  Backend(latchkey::AtprotoClient client, Site site, std::shared_ptr<Visitors> visitors);

  [[nodiscard]] Response answer(const Request& request);

 private:
  [[nodiscard]] Response answer_get(const Request& request);
  [[nodiscard]] Response answer_post(const Request& request);
  [[nodiscard]] Response begin_login(const latchkey::FormFields& form);
  [[nodiscard]] Response end_login(const Request& request);
  [[nodiscard]] Response post(const Visitor& visitor, const latchkey::FormFields& form);
  [[nodiscard]] Response log_out(const Visitor& visitor);
  [[nodiscard]] std::optional<Visitor> visitor_of(const Request& request) const;
  [[nodiscard]] std::string cookie_name(std::string_view name) const;
  [[nodiscard]] std::string cookie(std::string_view name, std::string_view value,
                                   std::string_view path, int seconds) const;

  latchkey::AtprotoClient client_;
  Site site_;
  bool is_https_;
  std::shared_ptr<Visitors> visitors_;
};

}  // namespace web_backend
