// SPDX-License-Identifier: MIT
module;
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.oauth.client_hosting;
export import latchkey.oauth.client_finding;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.http;

// Whether the metadata document that servers get is the one that is meant (C1.4).

export namespace latchkey {

/// What is served at a client_id.
struct HostedCopy {
  std::string text;                     ///< empty if there is no document to be had
  std::vector<ClientFinding> findings;  ///< about the answer, not about the rules for documents
};

/// Judges the answer to a GET of `client_id`, as strictly as servers do: "C1.4.redirected",
/// "C1.4.status" (not 200), "C1.4.content_type" (not application/json), "C1.4.not_json",
/// "C1.4.client_id" (not exactly this URL).
[[nodiscard]] HostedCopy judge_hosted_copy(std::string_view client_id,
                                           const HttpResponse& response);

/// Fetches the document and judges the answer. `strangers`: a transport for addresses that others
/// name. Errors: invalid_url; those of the transport.
[[nodiscard]] Result<HostedCopy> fetch_hosted_copy(HttpTransport& strangers,
                                                   std::string_view client_id,
                                                   std::stop_token stop = {});

/// The members in which two documents differ, each as "C1.4.differs". The order of members, and of
/// names in a list, does not count, and of keys only their kids and thumbprints do.
[[nodiscard]] std::vector<ClientFinding> compare_documents(std::string_view own,
                                                           std::string_view hosted);

}  // namespace latchkey
