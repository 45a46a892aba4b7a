// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>
module latchkey.sandbox.hostile_forms;
import latchkey.sandbox.message;

namespace latchkey::sandbox {
namespace {

struct Row {
  std::string_view name;
  Edit edit{};
  std::string_view member{};
  std::string_view value{};
};
using enum Edit;

// Of every document that is a JSON object.
constexpr Row kJson[] = {
    {"status_500", status, {}, "500"},
    {"redirect", redirect, {}, "{self}/elsewhere"},
    {"redirect_elsewhere", redirect, {}, "http://evil.example/"},
    {"content_type_html", content_type, {}, "text/html"},
    {"content_type_missing", content_type},
    {"empty", body, {}, ""},
    {"not_json", body, {}, "<html>hello</html>"},
    {"array", body, {}, "[]"},
    {"null", body, {}, "null"},
    {"comment", prefix, {}, "/* */"},
    {"byte_order_mark", prefix, {}, "\xef\xbb\xbf"},
    {"text_after", append, {}, "{}"},
    {"not_utf8", body, {}, "{\"name\":\"\xff\"}"},
    {"nested", nest},
    {"huge", swell},
};

constexpr Row kHandleAnswer[] = {
    {"did_missing", drop, "did"},
    {"did_twice", repeat, "did"},
    {"did_empty", set, "did", R"("")"},
    {"did_number", set, "did", "7"},
    {"did_null", set, "did", "null"},
    {"did_malformed", set, "did", R"("did:plc:ALICE")"},
    {"did_other_method", set, "did",
     R"("did:key:zQ3shZc2QzApp2oymGvQbzP8eKheVshBHbU4ZYjeXqwSKEn6N")"},
    {"did_with_path", set, "did", R"("did:web:localhost:8080:path")"},
    {"did_unknown", set, "did", R"("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa")"},
};

constexpr Row kHandleFile[] = {
    {"status_500", status, {}, "500"},
    {"redirect", redirect, {}, "{self}/elsewhere"},
    {"empty", body, {}, ""},
    {"html", body, {}, "<html>hello</html>"},
    {"record_form", body, {}, "did=did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"},
    {"json", body, {}, R"({"did":"did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"})"},
    {"byte_order_mark",
     body,
     {},
     "\xef\xbb\xbf"
     "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"},
    {"unknown", body, {}, "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"},
    {"huge", swell},
};

constexpr Row kDidDocument[] = {
    {"gone", status, {}, "410"},
    {"id_missing", drop, "id"},
    {"id_twice", repeat, "id"},
    {"id_other", set, "id", R"("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa")"},
    {"id_number", set, "id", "7"},
    {"aliases_missing", drop, "alsoKnownAs"},
    {"aliases_text", set, "alsoKnownAs", R"("at://alice.test")"},
    {"alias_other", set, "alsoKnownAs", R"(["at://bob.test"])"},
    {"alias_without_scheme", set, "alsoKnownAs", R"(["alice.test"])"},
    {"alias_second", set, "alsoKnownAs", R"(["at://bob.test","at://alice.test"])"},
    {"service_missing", drop, "service"},
    {"service_empty", set, "service", "[]"},
    {"service_object", set, "service", "{}"},
    {"service_texts", set, "service", R"(["#atproto_pds"])"},
    {"service_other_type", set, "service",
     R"([{"id":"#atproto_pds","type":"Other","serviceEndpoint":"https://pds.example"}])"},
    {"service_other_id", set, "service",
     R"([{"id":"did:plc:aaaaaaaaaaaaaaaaaaaaaaaa#atproto_pds",)"
     R"("type":"AtprotoPersonalDataServer","serviceEndpoint":"https://pds.example"}])"},
    {"endpoint_missing", set, "service",
     R"([{"id":"#atproto_pds","type":"AtprotoPersonalDataServer"}])"},
    {"endpoint_object", endpoint, {}, "{}"},
    {"endpoint_empty", endpoint, {}, R"("")"},
    {"endpoint_http", endpoint, {}, R"("http://pds.example")"},
    {"endpoint_script", endpoint, {}, R"("javascript:evil")"},
    {"endpoint_userinfo", endpoint, {}, R"("https://user:secret@pds.example")"},
    {"endpoint_path", endpoint, {}, R"("https://pds.example/path")"},
    {"endpoint_query", endpoint, {}, R"("https://pds.example?a=b")"},
    {"endpoint_twice",
     endpoint,
     {},
     R"("https://pds.example","serviceEndpoint":"https://b.example")"},
};

constexpr Row kResourceMetadata[] = {
    {"missing", status, {}, "404"},
    {"no_content", status, {}, "204"},
    {"resource_other", set, "resource", R"("https://evil.example")"},
    {"resource_slash", set, "resource", R"("{self}/")"},
    {"resource_null", set, "resource", "null"},
    {"resource_twice", repeat, "resource"},
    {"servers_missing", drop, "authorization_servers"},
    {"servers_twice", repeat, "authorization_servers"},
    {"servers_null", set, "authorization_servers", "null"},
    {"servers_text", set, "authorization_servers", R"("{self}")"},
    {"servers_numbers", set, "authorization_servers", "[1]"},
    {"servers_none", set, "authorization_servers", "[]"},
    {"servers_two", set, "authorization_servers", R"(["{self}","https://evil.example"])"},
    {"servers_same_twice", set, "authorization_servers", R"(["{self}","{self}"])"},
    {"server_empty", set, "authorization_servers", R"([""])"},
    {"server_http", set, "authorization_servers", R"(["http://evil.example"])"},
    {"server_script", set, "authorization_servers", R"(["javascript:evil"])"},
    {"server_path", set, "authorization_servers", R"(["{self}/path"])"},
    {"server_slash", set, "authorization_servers", R"(["{self}/"])"},
    {"server_query", set, "authorization_servers", R"(["{self}?a=b"])"},
    {"server_fragment", set, "authorization_servers", R"(["{self}#a"])"},
    {"server_userinfo", set, "authorization_servers", R"(["https://user:secret@evil.example"])"},
    {"server_default_port", set, "authorization_servers", R"(["https://evil.example:443"])"},
    {"server_capitals", set, "authorization_servers", R"(["HTTPS://EVIL.EXAMPLE"])"},
};

constexpr Row kServerMetadata[] = {
    {"missing", status, {}, "404"},
    {"no_content", status, {}, "204"},
    {"issuer_missing", drop, "issuer"},
    {"issuer_twice", repeat, "issuer"},
    {"issuer_empty", set, "issuer", R"("")"},
    {"issuer_number", set, "issuer", "7"},
    {"issuer_null", set, "issuer", "null"},
    {"issuer_other", set, "issuer", R"("https://evil.example")"},
    {"issuer_slash", set, "issuer", R"("{self}/")"},
    {"issuer_path", set, "issuer", R"("{self}/tenant")"},
    {"issuer_userinfo", set, "issuer", R"("http://user:secret@localhost")"},
    {"authorization_endpoint_missing", drop, "authorization_endpoint"},
    {"authorization_endpoint_script", set, "authorization_endpoint", R"("javascript:evil")"},
    {"authorization_endpoint_file", set, "authorization_endpoint", R"("file:///etc/passwd")"},
    {"authorization_endpoint_http", set, "authorization_endpoint", R"("http://evil.example/a")"},
    {"token_endpoint_missing", drop, "token_endpoint"},
    {"token_endpoint_twice", repeat, "token_endpoint"},
    {"token_endpoint_null", set, "token_endpoint", "null"},
    {"token_endpoint_http", set, "token_endpoint", R"("http://evil.example/token")"},
    {"token_endpoint_relative", set, "token_endpoint", R"("/oauth/token")"},
    {"token_endpoint_fragment", set, "token_endpoint", R"("{self}/oauth/token#a")"},
    {"token_endpoint_userinfo", set, "token_endpoint", R"("https://user:secret@evil.example/")"},
    {"token_endpoint_line_break", set, "token_endpoint", R"("{self}/token\r\nX-Evil: 1")"},
    {"par_endpoint_missing", drop, "pushed_authorization_request_endpoint"},
    {"par_endpoint_http", set, "pushed_authorization_request_endpoint",
     R"("http://evil.example/par")"},
    {"revocation_endpoint_http", set, "revocation_endpoint", R"("http://evil.example/revoke")"},
    {"response_types_missing", drop, "response_types_supported"},
    {"response_types_token", set, "response_types_supported", R"(["token"])"},
    {"response_types_text", set, "response_types_supported", R"("code")"},
    {"grant_types_missing", drop, "grant_types_supported"},
    {"grant_types_without_code", set, "grant_types_supported", R"(["refresh_token"])"},
    {"grant_types_without_refresh", set, "grant_types_supported", R"(["authorization_code"])"},
    {"challenge_methods_missing", drop, "code_challenge_methods_supported"},
    {"challenge_methods_plain", set, "code_challenge_methods_supported", R"(["plain"])"},
    {"challenge_methods_lower_case", set, "code_challenge_methods_supported", R"(["s256"])"},
    {"auth_methods_missing", drop, "token_endpoint_auth_methods_supported"},
    {"auth_methods_without_none", set, "token_endpoint_auth_methods_supported",
     R"(["private_key_jwt"])"},
    {"auth_methods_without_key", set, "token_endpoint_auth_methods_supported", R"(["none"])"},
    {"auth_methods_numbers", set, "token_endpoint_auth_methods_supported", "[1,2]"},
    {"auth_algs_missing", drop, "token_endpoint_auth_signing_alg_values_supported"},
    {"auth_algs_none", set, "token_endpoint_auth_signing_alg_values_supported",
     R"(["ES256","none"])"},
    {"auth_algs_rs256", set, "token_endpoint_auth_signing_alg_values_supported", R"(["RS256"])"},
    {"scopes_missing", drop, "scopes_supported"},
    {"scopes_without_atproto", set, "scopes_supported", R"(["openid"])"},
    {"iss_parameter_missing", drop, "authorization_response_iss_parameter_supported"},
    {"iss_parameter_false", set, "authorization_response_iss_parameter_supported", "false"},
    {"iss_parameter_text", set, "authorization_response_iss_parameter_supported", R"("true")"},
    {"par_required_missing", drop, "require_pushed_authorization_requests"},
    {"par_required_false", set, "require_pushed_authorization_requests", "false"},
    {"par_required_number", set, "require_pushed_authorization_requests", "1"},
    {"client_documents_missing", drop, "client_id_metadata_document_supported"},
    {"client_documents_false", set, "client_id_metadata_document_supported", "false"},
    {"request_uri_registration_false", set, "require_request_uri_registration", "false"},
    {"dpop_algs_missing", drop, "dpop_signing_alg_values_supported"},
    {"dpop_algs_rs256", set, "dpop_signing_alg_values_supported", R"(["RS256"])"},
    {"protected_resources_other", set, "protected_resources", R"(["https://evil.example"])"},
    {"protected_resources_text", set, "protected_resources", R"("{self}")"},
};

constexpr Row kPar[] = {
    {"request_uri_missing", drop, "request_uri"},
    {"request_uri_twice", repeat, "request_uri"},
    {"request_uri_empty", set, "request_uri", R"("")"},
    {"request_uri_number", set, "request_uri", "7"},
    {"request_uri_line_break", set, "request_uri", R"("urn:x\r\ny")"},
    {"expired", set, "expires_in", "0"},
    {"expires_in_text", set, "expires_in", R"("300")"},
};

constexpr Row kCallback[] = {
    {"state_missing", drop, "state"},
    {"state_other", set, "state", "other"},
    {"state_twice", repeat, "state"},
    {"iss_missing", drop, "iss"},
    {"iss_twice", repeat, "iss"},
    {"iss_other", set, "iss", "https://evil.example"},
    {"iss_slash", set, "iss", "{self}/"},
    {"code_missing", drop, "code"},
    {"code_empty", set, "code", ""},
    {"code_twice", repeat, "code"},
    {"code_space", set, "code", "a b"},
    {"signed_response", set, "response", "eyJhbGciOiJub25lIn0.e30."},
    {"error_beside_code", set, "error", "server_error"},
};

constexpr Row kToken[] = {
    {"access_token_missing", drop, "access_token"},
    {"access_token_twice", repeat, "access_token"},
    {"access_token_empty", set, "access_token", R"("")"},
    {"access_token_number", set, "access_token", "7"},
    {"access_token_line_break", set, "access_token", R"("a\r\nb")"},
    {"refresh_token_null", set, "refresh_token", "null"},
    {"token_type_missing", drop, "token_type"},
    {"token_type_bearer", set, "token_type", R"("Bearer")"},
    {"token_type_unknown", set, "token_type", R"("mac")"},
    {"sub_missing", drop, "sub"},
    {"sub_number", set, "sub", "7"},
    {"sub_handle", set, "sub", R"("alice.test")"},
    {"sub_other", set, "sub", R"("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa")"},
    {"scope_missing", drop, "scope"},
    {"scope_empty", set, "scope", R"("")"},
    {"scope_list", set, "scope", R"(["atproto"])"},
    {"scope_without_atproto", set, "scope", R"("transition:generic")"},
    {"expires_in_zero", set, "expires_in", "0"},
    {"expires_in_negative", set, "expires_in", "-1"},
    {"expires_in_text", set, "expires_in", R"("3600")"},
    {"expires_in_two_days", set, "expires_in", "172800"},
    {"expires_in_immense", set, "expires_in", "1e300"},
    {"id_token", set, "id_token", R"("e30.e30.AA")"},
};

template <class Rows>
void append_forms(std::vector<HostileForm>& forms, Document document, const Rows& rows) {
  for (const Row& row : rows) {
    forms.push_back({.name = std::string(to_string(document)) + '.' + std::string(row.name),
                     .document = document,
                     .edit = row.edit,
                     .member = row.member,
                     .value = row.value});
  }
}

std::vector<HostileForm> all_forms() {
  std::vector<HostileForm> forms;
  const auto add_json = [&](Document document, const auto& rows) {
    append_forms(forms, document, kJson);
    append_forms(forms, document, rows);
  };
  add_json(Document::handle_answer, kHandleAnswer);
  append_forms(forms, Document::handle_file, kHandleFile);
  add_json(Document::did_document, kDidDocument);
  add_json(Document::resource_metadata, kResourceMetadata);
  add_json(Document::server_metadata, kServerMetadata);
  add_json(Document::par, kPar);
  append_forms(forms, Document::callback, kCallback);
  add_json(Document::token, kToken);
  return forms;
}

}  // namespace

std::string_view to_string(Document document) noexcept {
  switch (document) {
    case Document::handle_answer:
      return "handle_answer";
    case Document::handle_file:
      return "handle_file";
    case Document::did_document:
      return "did_document";
    case Document::resource_metadata:
      return "resource_metadata";
    case Document::server_metadata:
      return "server_metadata";
    case Document::par:
      return "par";
    case Document::callback:
      return "callback";
    case Document::token:
      break;
  }
  return "token";
}

bool asks_for(Document document, Server server, std::string_view path) {
  const auto is = [&](Server at, std::string_view its_path) {
    return server == at && path == its_path;
  };
  switch (document) {
    case Document::handle_answer:
      return is(Server::pds, "/xrpc/com.atproto.identity.resolveHandle");
    case Document::handle_file:
      return is(Server::pds, "/.well-known/atproto-did");
    case Document::did_document:
      return server == Server::plc;
    case Document::resource_metadata:
      return is(Server::pds, "/.well-known/oauth-protected-resource");
    case Document::server_metadata:
      return is(Server::authorization, "/.well-known/oauth-authorization-server");
    case Document::par:
      return is(Server::authorization, "/oauth/par");
    case Document::callback:
      return is(Server::authorization, "/oauth/authorize");
    case Document::token:
      break;
  }
  return is(Server::authorization, "/oauth/token");
}

const std::vector<HostileForm>& hostile_forms() {
  static const std::vector<HostileForm> forms = all_forms();
  return forms;
}

const HostileForm* find_hostile_form(std::string_view name) {
  const auto& forms = hostile_forms();
  const auto found =
      std::find_if(forms.begin(), forms.end(), [&](const auto& form) { return form.name == name; });
  return found == forms.end() ? nullptr : &*found;
}

}  // namespace latchkey::sandbox
