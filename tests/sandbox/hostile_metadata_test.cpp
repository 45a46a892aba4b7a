// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

import latchkey.core;
import latchkey.sandbox;
import latchkey.session;
import latchkey.test.hostile_world;
import latchkey.test.outcome;
import latchkey.test.sandbox_world;

using namespace latchkey;
using namespace latchkey::test;
using sandbox::Document;
using sandbox::FaultKind;

namespace {

// What a login from a handle says to each hostile form of what it finds on its way.
const std::vector<Refused> kRefused{
    {"handle_answer.status_500", "invalid_response handle.status"},
    {"handle_answer.redirect", "invalid_response handle.status"},
    {"handle_answer.redirect_elsewhere", "invalid_response handle.status"},
    {"handle_answer.content_type_html", "invalid_response handle.content_type"},
    {"handle_answer.content_type_missing", "invalid_response handle.content_type"},
    {"handle_answer.empty", "invalid_response handle.not_json"},
    {"handle_answer.not_json", "invalid_response handle.not_json"},
    {"handle_answer.array", "invalid_response handle.not_json"},
    {"handle_answer.null", "invalid_response handle.not_json"},
    {"handle_answer.comment", "invalid_response handle.not_json"},
    {"handle_answer.byte_order_mark", "invalid_response handle.not_json"},
    {"handle_answer.text_after", "invalid_response handle.not_json"},
    {"handle_answer.not_utf8", "invalid_response handle.not_json"},
    {"handle_answer.nested", "invalid_response handle.not_json"},
    {"handle_answer.huge", "response_too_large http.body_too_large"},
    {"handle_answer.did_missing", "invalid_response handle.missing_member"},
    {"handle_answer.did_twice", "invalid_response handle.duplicate_member"},
    {"handle_answer.did_empty", "invalid_response handle.missing_member"},
    {"handle_answer.did_number", "invalid_response handle.wrong_type"},
    {"handle_answer.did_null", "invalid_response handle.wrong_type"},
    {"handle_answer.did_malformed", "invalid_response handle.not_a_did"},
    {"handle_answer.did_other_method", "invalid_response handle.not_a_did"},
    {"handle_answer.did_with_path", "invalid_response handle.not_a_did"},
    {"handle_answer.did_unknown", "identity_not_found did.not_found"},
    {"did_document.status_500", "invalid_response did_document.status"},
    {"did_document.redirect", "invalid_response did_document.status"},
    {"did_document.redirect_elsewhere", "invalid_response did_document.status"},
    {"did_document.content_type_html", "invalid_response did_document.content_type"},
    {"did_document.content_type_missing", "invalid_response did_document.content_type"},
    {"did_document.empty", "invalid_metadata did_document.not_json"},
    {"did_document.not_json", "invalid_metadata did_document.not_json"},
    {"did_document.array", "invalid_metadata did_document.not_json"},
    {"did_document.null", "invalid_metadata did_document.not_json"},
    {"did_document.comment", "invalid_metadata did_document.not_json"},
    {"did_document.byte_order_mark", "invalid_metadata did_document.not_json"},
    {"did_document.text_after", "invalid_metadata did_document.not_json"},
    {"did_document.not_utf8", "invalid_metadata did_document.not_json"},
    {"did_document.nested", "invalid_metadata did_document.not_json"},
    {"did_document.huge", "response_too_large http.body_too_large"},
    {"did_document.gone", "identity_not_found did.not_found"},
    {"did_document.id_missing", "identity_mismatch did_document.id"},
    {"did_document.id_twice", "invalid_metadata did_document.duplicate_member"},
    {"did_document.id_other", "identity_mismatch did_document.id"},
    {"did_document.id_number", "invalid_metadata did_document.wrong_type"},
    {"did_document.aliases_missing", "identity_mismatch handle.not_claimed"},
    {"did_document.aliases_text", "invalid_metadata did_document.wrong_type"},
    {"did_document.alias_other", "identity_mismatch handle.not_claimed"},
    {"did_document.alias_without_scheme", "identity_mismatch handle.not_claimed"},
    {"did_document.alias_second", "identity_mismatch handle.not_claimed"},
    {"did_document.service_missing", "identity_mismatch identity.no_pds"},
    {"did_document.service_empty", "identity_mismatch identity.no_pds"},
    {"did_document.service_object", "invalid_metadata did_document.wrong_type"},
    {"did_document.service_texts", "invalid_metadata did_document.wrong_type"},
    {"did_document.service_other_type", "identity_mismatch identity.no_pds"},
    {"did_document.service_other_id", "identity_mismatch identity.no_pds"},
    {"did_document.endpoint_missing", "invalid_metadata did_document.pds_endpoint"},
    {"did_document.endpoint_object", "invalid_metadata did_document.pds_endpoint"},
    {"did_document.endpoint_empty", "invalid_metadata did_document.pds_endpoint"},
    {"did_document.endpoint_http", "invalid_metadata did_document.pds_endpoint"},
    {"did_document.endpoint_script", "invalid_metadata did_document.pds_endpoint"},
    {"did_document.endpoint_userinfo", "invalid_metadata did_document.pds_endpoint"},
    {"did_document.endpoint_path", "invalid_metadata did_document.pds_endpoint"},
    {"did_document.endpoint_query", "invalid_metadata did_document.pds_endpoint"},
    {"did_document.endpoint_twice", "invalid_metadata did_document.duplicate_member"},
    {"resource_metadata.status_500", "invalid_metadata metadata.status"},
    {"resource_metadata.redirect", "invalid_metadata metadata.status"},
    {"resource_metadata.redirect_elsewhere", "invalid_metadata metadata.status"},
    {"resource_metadata.content_type_html", "invalid_metadata metadata.content_type"},
    {"resource_metadata.content_type_missing", "invalid_metadata metadata.content_type"},
    {"resource_metadata.empty", "invalid_metadata metadata.not_json"},
    {"resource_metadata.not_json", "invalid_metadata metadata.not_json"},
    {"resource_metadata.array", "invalid_metadata metadata.not_json"},
    {"resource_metadata.null", "invalid_metadata metadata.not_json"},
    {"resource_metadata.comment", "invalid_metadata metadata.not_json"},
    {"resource_metadata.byte_order_mark", "invalid_metadata metadata.not_json"},
    {"resource_metadata.text_after", "invalid_metadata metadata.not_json"},
    {"resource_metadata.not_utf8", "invalid_metadata metadata.not_json"},
    {"resource_metadata.nested", "invalid_metadata metadata.not_json"},
    {"resource_metadata.huge", "response_too_large http.body_too_large"},
    {"resource_metadata.missing", "invalid_metadata metadata.status"},
    {"resource_metadata.no_content", "invalid_metadata metadata.status"},
    {"resource_metadata.resource_other", "invalid_metadata metadata.resource_mismatch"},
    {"resource_metadata.resource_slash", "invalid_metadata metadata.resource_mismatch"},
    {"resource_metadata.resource_null", "invalid_metadata metadata.wrong_type"},
    {"resource_metadata.resource_twice", "invalid_metadata metadata.duplicate_member"},
    {"resource_metadata.servers_missing", "invalid_metadata metadata.atproto.one_server"},
    {"resource_metadata.servers_twice", "invalid_metadata metadata.duplicate_member"},
    {"resource_metadata.servers_null", "invalid_metadata metadata.wrong_type"},
    {"resource_metadata.servers_text", "invalid_metadata metadata.wrong_type"},
    {"resource_metadata.servers_numbers", "invalid_metadata metadata.wrong_type"},
    {"resource_metadata.servers_none", "invalid_metadata metadata.atproto.one_server"},
    {"resource_metadata.servers_two", "invalid_metadata metadata.atproto.one_server"},
    {"resource_metadata.servers_same_twice", "invalid_metadata metadata.atproto.one_server"},
    {"resource_metadata.server_empty", "invalid_metadata metadata.atproto.server_not_origin"},
    {"resource_metadata.server_http", "invalid_metadata metadata.atproto.server_not_origin"},
    {"resource_metadata.server_script", "invalid_metadata metadata.atproto.server_not_origin"},
    {"resource_metadata.server_path", "invalid_metadata metadata.atproto.server_not_origin"},
    {"resource_metadata.server_slash", "invalid_metadata metadata.atproto.server_not_origin"},
    {"resource_metadata.server_query", "invalid_metadata metadata.atproto.server_not_origin"},
    {"resource_metadata.server_fragment", "invalid_metadata metadata.atproto.server_not_origin"},
    {"resource_metadata.server_userinfo", "invalid_metadata metadata.atproto.server_not_origin"},
    {"resource_metadata.server_default_port",
     "invalid_metadata metadata.atproto.server_not_origin"},
    {"resource_metadata.server_capitals", "invalid_metadata metadata.atproto.server_not_origin"},
    {"server_metadata.status_500", "invalid_metadata metadata.status"},
    {"server_metadata.redirect", "invalid_metadata metadata.status"},
    {"server_metadata.redirect_elsewhere", "invalid_metadata metadata.status"},
    {"server_metadata.content_type_html", "invalid_metadata metadata.content_type"},
    {"server_metadata.content_type_missing", "invalid_metadata metadata.content_type"},
    {"server_metadata.empty", "invalid_metadata metadata.not_json"},
    {"server_metadata.not_json", "invalid_metadata metadata.not_json"},
    {"server_metadata.array", "invalid_metadata metadata.not_json"},
    {"server_metadata.null", "invalid_metadata metadata.not_json"},
    {"server_metadata.comment", "invalid_metadata metadata.not_json"},
    {"server_metadata.byte_order_mark", "invalid_metadata metadata.not_json"},
    {"server_metadata.text_after", "invalid_metadata metadata.not_json"},
    {"server_metadata.not_utf8", "invalid_metadata metadata.not_json"},
    {"server_metadata.nested", "invalid_metadata metadata.not_json"},
    {"server_metadata.huge", "response_too_large http.body_too_large"},
    {"server_metadata.missing", "invalid_metadata metadata.status"},
    {"server_metadata.no_content", "invalid_metadata metadata.status"},
    {"server_metadata.issuer_missing", "invalid_metadata metadata.missing_member"},
    {"server_metadata.issuer_twice", "invalid_metadata metadata.duplicate_member"},
    {"server_metadata.issuer_empty", "invalid_metadata metadata.missing_member"},
    {"server_metadata.issuer_number", "invalid_metadata metadata.wrong_type"},
    {"server_metadata.issuer_null", "invalid_metadata metadata.wrong_type"},
    {"server_metadata.issuer_other", "invalid_metadata metadata.issuer_mismatch"},
    {"server_metadata.issuer_slash", "invalid_metadata metadata.issuer_mismatch"},
    {"server_metadata.issuer_path", "invalid_metadata metadata.issuer_mismatch"},
    {"server_metadata.issuer_userinfo", "invalid_metadata metadata.issuer_mismatch"},
    {"server_metadata.authorization_endpoint_missing",
     "invalid_metadata metadata.atproto.endpoint_missing"},
    {"server_metadata.authorization_endpoint_script",
     "invalid_metadata metadata.atproto.endpoint_not_https"},
    {"server_metadata.authorization_endpoint_file",
     "invalid_metadata metadata.atproto.endpoint_not_https"},
    {"server_metadata.authorization_endpoint_http",
     "invalid_metadata metadata.atproto.endpoint_not_https"},
    {"server_metadata.token_endpoint_missing",
     "invalid_metadata metadata.atproto.endpoint_missing"},
    {"server_metadata.token_endpoint_twice", "invalid_metadata metadata.duplicate_member"},
    {"server_metadata.token_endpoint_null", "invalid_metadata metadata.wrong_type"},
    {"server_metadata.token_endpoint_http", "invalid_metadata metadata.atproto.endpoint_not_https"},
    {"server_metadata.token_endpoint_relative",
     "invalid_metadata metadata.atproto.endpoint_not_https"},
    {"server_metadata.token_endpoint_fragment",
     "invalid_metadata metadata.atproto.endpoint_not_https"},
    {"server_metadata.token_endpoint_userinfo",
     "invalid_metadata metadata.atproto.endpoint_not_https"},
    {"server_metadata.token_endpoint_line_break",
     "invalid_metadata metadata.atproto.endpoint_not_https"},
    {"server_metadata.par_endpoint_missing", "invalid_metadata metadata.atproto.endpoint_missing"},
    {"server_metadata.par_endpoint_http", "invalid_metadata metadata.atproto.endpoint_not_https"},
    {"server_metadata.revocation_endpoint_http",
     "invalid_metadata metadata.atproto.endpoint_not_https"},
    {"server_metadata.response_types_missing", "invalid_metadata metadata.atproto.response_type"},
    {"server_metadata.response_types_token", "invalid_metadata metadata.atproto.response_type"},
    {"server_metadata.response_types_text", "invalid_metadata metadata.wrong_type"},
    {"server_metadata.grant_types_missing", "invalid_metadata metadata.atproto.grant_type"},
    {"server_metadata.grant_types_without_code", "invalid_metadata metadata.atproto.grant_type"},
    {"server_metadata.grant_types_without_refresh", "invalid_metadata metadata.atproto.grant_type"},
    {"server_metadata.challenge_methods_missing",
     "invalid_metadata metadata.atproto.code_challenge_method"},
    {"server_metadata.challenge_methods_plain",
     "invalid_metadata metadata.atproto.code_challenge_method"},
    {"server_metadata.challenge_methods_lower_case",
     "invalid_metadata metadata.atproto.code_challenge_method"},
    {"server_metadata.auth_methods_missing", "invalid_metadata metadata.atproto.auth_method"},
    {"server_metadata.auth_methods_without_none", "invalid_metadata metadata.atproto.auth_method"},
    {"server_metadata.auth_methods_without_key", "invalid_metadata metadata.atproto.auth_method"},
    {"server_metadata.auth_methods_numbers", "invalid_metadata metadata.wrong_type"},
    {"server_metadata.auth_algs_missing", "invalid_metadata metadata.atproto.auth_signing_alg"},
    {"server_metadata.auth_algs_none", "invalid_metadata metadata.atproto.auth_signing_alg"},
    {"server_metadata.auth_algs_rs256", "invalid_metadata metadata.atproto.auth_signing_alg"},
    {"server_metadata.scopes_missing", "invalid_metadata metadata.atproto.scope"},
    {"server_metadata.scopes_without_atproto", "invalid_metadata metadata.atproto.scope"},
    {"server_metadata.iss_parameter_missing", "invalid_metadata metadata.atproto.iss_parameter"},
    {"server_metadata.iss_parameter_false", "invalid_metadata metadata.atproto.iss_parameter"},
    {"server_metadata.iss_parameter_text", "invalid_metadata metadata.wrong_type"},
    {"server_metadata.par_required_missing", "invalid_metadata metadata.atproto.par_not_required"},
    {"server_metadata.par_required_false", "invalid_metadata metadata.atproto.par_not_required"},
    {"server_metadata.par_required_number", "invalid_metadata metadata.wrong_type"},
    {"server_metadata.client_documents_missing",
     "invalid_metadata metadata.atproto.client_id_metadata"},
    {"server_metadata.client_documents_false",
     "invalid_metadata metadata.atproto.client_id_metadata"},
    {"server_metadata.request_uri_registration_false",
     "invalid_metadata metadata.atproto.request_uri_registration"},
    {"server_metadata.dpop_algs_missing", "invalid_metadata metadata.atproto.dpop_alg"},
    {"server_metadata.dpop_algs_rs256", "invalid_metadata metadata.atproto.dpop_alg"},
    {"server_metadata.protected_resources_other",
     "invalid_metadata metadata.atproto.protected_resources"},
    {"server_metadata.protected_resources_text", "invalid_metadata metadata.wrong_type"},
};

std::string log_in(SandboxWorld& world, const std::string& start) {
  return outcome(world.log_in_by_paste(start));
}

}  // namespace

TEST_CASE("C2, C3: every hostile document is refused, and nothing is sent after it", "[sandbox]") {
  SandboxWorld world;
  for (const auto& [name, expected] : kRefused) {
    INFO(name);
    meet(world, name);
    CHECK(log_in(world, "alice.test") == expected);
    // A DID that does not exist is asked for, to find that out.
    CHECK(was_last(world, name) == (name != "handle_answer.did_unknown"));
    CHECK(world.servers->counts().logins == 0);
  }
  world.servers->clear_faults();
  CHECK(log_in(world, "alice.test") == "ok");
}

TEST_CASE("C2, C3: the table of hostile documents is complete", "[sandbox]") {
  CHECK(names_of(kRefused) == forms_of({Document::handle_answer, Document::did_document,
                                        Document::resource_metadata, Document::server_metadata}));
}

TEST_CASE("C3: a login that begins with the server meets the same metadata", "[sandbox]") {
  SandboxWorld world;
  for (const auto& [name, expected] : kRefused) {
    const bool metadata =
        name.starts_with("resource_metadata.") || name.starts_with("server_metadata.");
    if (!metadata || name == "resource_metadata.missing") continue;
    INFO(name);
    meet(world, name);
    CHECK(log_in(world, world.servers->pds()) == expected);
    CHECK(was_last(world, name));
  }
}

TEST_CASE("C3.12: a server that names no other must be one itself", "[sandbox]") {
  SandboxWorld world;
  meet(world, "resource_metadata.missing");
  CHECK(log_in(world, world.servers->pds()) == "invalid_metadata metadata.status");
  CHECK(world.servers->requests().size() == 2);
}

TEST_CASE("C2.4, C2.9: a DID whose handle does not point back is still that DID", "[sandbox]") {
  for (const std::string name : {"did_document.alias_other", "did_document.aliases_missing",
                                 "did_document.alias_without_scheme", "handle_answer.did_unknown",
                                 "handle_answer.status_500"}) {
    INFO(name);
    SandboxWorld world;
    meet(world, name);
    const auto session = world.log_in_by_paste(world.alice.did);
    REQUIRE(outcome(session) == "ok");
    CHECK(session->subject == world.alice.did);
    CHECK(session->handle == "handle.invalid");
  }
}

TEST_CASE("C7.5: a hostile document before a refresh burns nothing", "[sandbox]") {
  SandboxWorld world;
  REQUIRE(outcome(world.log_in()) == "ok");
  world.expire();
  for (const auto& [name, expected] : kRefused) {
    const bool asked = name.starts_with("did_document.") || name.starts_with("resource_metadata.");
    // A refresh is not interested in handles.
    if (!asked || expected == "identity_mismatch handle.not_claimed") continue;
    INFO(name);
    meet(world, name);
    CHECK(outcome(world.client.fresh(world.alice.did)) == expected);
    CHECK(world.refreshes().empty());
    world.clock->advance(std::chrono::minutes{2});
  }
  world.servers->clear_faults();
  CHECK(outcome(world.client.fresh(world.alice.did)) == "ok");
}
