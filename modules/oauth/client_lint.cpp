// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.oauth.client_lint;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.url;
import latchkey.oauth.client_finding;
import latchkey.oauth.client_id_rules;
import latchkey.oauth.client_key_rules;
import latchkey.oauth.client_redirect_rules;
import latchkey.oauth.scope;

namespace latchkey {
namespace {

using Severity = ClientFinding::Severity;
using Texts = std::vector<std::string>;

bool has(const Texts& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

// Members that only OpenID Connect or mutual TLS know, and that servers of this profile refuse.
constexpr std::array<std::string_view, 6> kForeignMembers{
    "default_max_age",
    "userinfo_signed_response_alg",
    "id_token_signed_response_alg",
    "userinfo_encrypted_response_alg",
    "authorization_encrypted_response_enc",
    "tls_client_certificate_bound_access_tokens"};

/// One document, and what was found in it so far.
class Linter {
 public:
  explicit Linter(JsonObject document) : document_(std::move(document)) {}

  std::vector<ClientFinding> run() && {
    client_id();
    grants();
    answers();
    scope();
    pages();
    method();
    redirects();
    foreign_members();
    return std::move(findings_);
  }

 private:
  void add(std::string_view rule, std::string_view name, std::string message,
           Severity severity = Severity::error) {
    findings_.push_back(client_finding(rule, name, std::move(message), severity));
  }

  template <class T>
  std::optional<T> read(std::string_view name, Result<std::optional<T>> value) {
    if (value) return *std::move(value);
    add("C1.4", "wrong_type", std::string(name) + " has the wrong type");
    return std::nullopt;
  }
  std::optional<std::string> text(std::string_view name) {
    return read(name, document_.string(name));
  }
  std::optional<Texts> texts(std::string_view name) { return read(name, document_.strings(name)); }

  void client_id() {
    client_id_ = text("client_id").value_or("");
    for (ClientFinding& finding : check_client_id(client_id_)) {
      findings_.push_back(std::move(finding));
    }
  }

  void grants() {
    const auto grants = texts("grant_types");
    if (!grants) return add("C1.5", "missing", "grant_types must list authorization_code");
    if (!has(*grants, "authorization_code")) {
      add("C1.5", "no_authorization_code", "grant_types must have authorization_code");
    }
    if (!has(*grants, "refresh_token")) {
      add("C1.5", "no_refresh_token",
          "without refresh_token in grant_types a login lasts as long as its first token",
          Severity::warning);
    }
    for (const std::string& grant : *grants) {
      if (grant == "authorization_code" || grant == "refresh_token") continue;
      add("C1.5", "unsupported",
          "grant_types must not have " + printable(grant, 60) + ": servers refuse it");
    }
    if (std::set<std::string>(grants->begin(), grants->end()).size() != grants->size()) {
      add("C1.5", "twice", "grant_types names a grant twice");
    }
  }

  void answers() {
    const auto types = texts("response_types");
    if (!types) {
      add("C1.6", "response_types_missing", "response_types must list code");
    } else if (!has(*types, "code")) {
      add("C1.6", "no_code", "response_types must have code");
    }
    const auto bound =
        read("dpop_bound_access_tokens", document_.boolean("dpop_bound_access_tokens"));
    if (!bound.value_or(false)) {
      add("C1.6", "not_dpop_bound", "dpop_bound_access_tokens must be true");
    }
  }

  void scope() {
    const auto declared = text("scope");
    if (!declared) return add("C1.6", "scope_missing", "scope must be declared, with atproto");
    const auto scope = ScopeSet::parse(*declared);
    if (!scope) {
      return add("C1.6", "scope_malformed", "scope must be names with one space between them");
    }
    if (!scope->contains("atproto")) {
      add("C1.6", "scope_without_atproto", "scope must have atproto");
    }
    if (scope->contains("openid")) {
      add("C1.6", "scope_openid", "scope must not have openid: there are no id tokens here");
    }
    // A set has each name once; the text may not.
    if (scope->text().size() != declared->size()) {
      add("C1.6", "scope_twice", "scope names a permission twice");
    }
  }

  void pages() {
    const std::string type = text("application_type").value_or("web");
    if (type != "web" && type != "native") {
      add("C1.7", "application_type", "application_type must be web or native");
    }
    native_ = type == "native";
    if (const auto uri = text("client_uri")) client_uri(*uri);
    for (const std::string_view name : {"logo_uri", "tos_uri", "policy_uri"}) {
      const auto uri = text(name);
      const auto url = uri ? Url::parse(*uri) : Result<Url>(Error{});
      if (uri && (!url || url->scheme() != "https")) {
        add("C1.7", name, std::string(name) + " must be an https URL");
      }
    }
  }

  void client_uri(const std::string& text) {
    const auto url = Url::parse(text);
    if (!url || url->scheme() != "https") {
      return add("C1.7", "client_uri", "client_uri must be an https URL");
    }
    const auto own = Url::parse(client_id_);
    if (!own) return;
    if (url->origin() != own->origin()) {
      return add("C1.7", "client_uri_host",
                 "client_uri must be at the same host as client_id, " + own->origin());
    }
    const std::string folder = url->path().ends_with('/') ? url->path() : url->path() + '/';
    if (url->path() != own->path() && !own->path().starts_with(folder)) {
      add("C1.7", "client_uri_path",
          "client_uri must be a parent of client_id: servers refuse "
          "another path of the same host");
    }
  }

  void method() {
    const auto method = text("token_endpoint_auth_method");
    if (method == "none") {
      check_public_client(document_, findings_);
    } else if (method == "private_key_jwt") {
      if (native_) {
        add("C1.8", "native",
            "a native client must use none: its copies can't keep a key secret (RFC 8252 section "
            "8.4)");
      }
      check_confidential_client(document_, findings_);
    } else {
      add("C1.8", "method", "token_endpoint_auth_method must be none or private_key_jwt");
    }
  }

  void redirects() {
    const auto redirects = texts("redirect_uris");
    if (!redirects || redirects->empty()) {
      return add("C1.6", "redirects_missing", "redirect_uris must have at least one");
    }
    for (const std::string& redirect : *redirects) {
      auto fault = check_redirect(redirect, {.client_id = client_id_, .is_native = native_});
      if (fault) findings_.push_back(*std::move(fault));
    }
    if (std::set<std::string>(redirects->begin(), redirects->end()).size() != redirects->size()) {
      add("C1.10", "twice", "redirect_uris has one of them twice", Severity::warning);
    }
  }

  void foreign_members() {
    for (const std::string_view name : kForeignMembers) {
      if (document_.contains(name) && document_.boolean(name).value_or(true) != false) {
        add("C1.6", "foreign_member", std::string(name) + " must go: servers refuse it");
      }
    }
  }

  JsonObject document_;
  std::vector<ClientFinding> findings_;
  std::string client_id_;
  bool native_ = false;
};

}  // namespace

std::vector<ClientFinding> lint_client_document(std::string_view json) {
  auto document = JsonObject::parse(json, ErrorCode::invalid_metadata, "client_document");
  if (!document) return {client_finding("C1.4", "not_json", document.error().message)};
  return Linter(*std::move(document)).run();
}

}  // namespace latchkey
