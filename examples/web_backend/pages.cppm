// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
export module latchkey.examples.web_backend.pages;
import latchkey.examples.web_backend.http_server;
import latchkey.examples.web_backend.visitors;

// The pages. Whatever comes from outside is escaped here; there are no scripts.

export namespace web_backend {

/// A page of the site, with the headers that every page has.
[[nodiscard]] Response page(int status, std::string_view title, std::string_view body_html);
/// Asks for a handle. `return_to`: the path to go to afterwards.
[[nodiscard]] Response login_page(std::string_view return_to);
[[nodiscard]] Response home_page(const Visitor& visitor);
[[nodiscard]] Response compose_page(const Visitor& visitor);
[[nodiscard]] Response posted_page(std::string_view uri);
/// `problem`: a sentence for people; `link`: where to go on.
[[nodiscard]] Response problem_page(int status, std::string_view problem, std::string_view link);
/// A public document, for servers.
[[nodiscard]] Response json_document(std::string_view json);
/// 303: the browser goes there with GET.
[[nodiscard]] Response redirect(std::string_view to);

}  // namespace web_backend
