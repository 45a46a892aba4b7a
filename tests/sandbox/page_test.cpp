// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.sandbox;
import latchkey.test.wire_client;

using namespace latchkey;
using namespace latchkey::test;

namespace {

// The value of a hidden field of the page, as it is sent back.
std::string hidden(const std::string& page, const std::string& name) {
  const std::string start = "name=\"" + name + "\" value=\"";
  const auto at = page.find(start);
  if (at == std::string::npos) return {};
  const auto from = at + start.size();
  std::string value = page.substr(from, page.find('"', from) - from);
  for (auto amp = value.find("&amp;"); amp != std::string::npos; amp = value.find("&amp;")) {
    value.replace(amp, 5, "&");
  }
  return value;
}

// A person at the page, who is not approved by itself.
struct Visit {
  Visit() {
    pushed = client.post("/oauth/par", client.par_form()).text("request_uri");
    page = open();
    cookie = page.header("Set-Cookie").substr(0, page.header("Set-Cookie").find(';'));
    form = {{"client_id", hidden(page.body, "client_id")},
            {"request_uri", hidden(page.body, "request_uri")},
            {"form_token", hidden(page.body, "form_token")},
            {"identifier", "alice.test"},
            {"password", "secret"},
            {"decision", "allow"}};
  }

  [[nodiscard]] WireAnswer open(const WireHeaders& headers = {}) const {
    return exchange(servers->issuer(), "GET", client.authorize_target(pushed), headers);
  }
  [[nodiscard]] WireAnswer send(const Form& fields, WireHeaders headers) const {
    headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
    return exchange(servers->issuer(), "POST", "/oauth/authorize", headers, encode(fields));
  }
  [[nodiscard]] WireAnswer send(const Form& fields) const { return send(fields, browser()); }
  // What a browser says of its own form.
  [[nodiscard]] WireHeaders browser() const {
    return {{"Cookie", cookie}, {"Origin", servers->issuer()}, {"Sec-Fetch-Site", "same-origin"}};
  }

  std::unique_ptr<sandbox::Sandbox> servers = sandbox::Sandbox::start().value();
  sandbox::Account alice = servers->add_account("alice.test", "secret").value();
  sandbox::Account bob = servers->add_account("bob.test", "other").value();
  WireClient client{*servers};
  std::string pushed, cookie;
  WireAnswer page;
  Form form;
};

}  // namespace

TEST_CASE("the page says who asks for what, and can't be framed or cached", "[sandbox]") {
  const Visit visit;
  CHECK(visit.page.status == 200);
  CHECK(visit.page.header("Content-Type") == "text/html; charset=utf-8");
  CHECK(visit.page.body.find("value=\"alice.test\"") != std::string::npos);
  CHECK(visit.page.body.find("read and change everything") != std::string::npos);
  CHECK(visit.page.body.find("<script") == std::string::npos);
  CHECK(visit.page.header("X-Frame-Options") == "DENY");
  CHECK(visit.page.header("Cache-Control") == "no-store");
  const auto policy = visit.page.header("Content-Security-Policy");
  CHECK(policy.find("frame-ancestors 'none'") != std::string::npos);
  CHECK(policy.find("form-action 'self' http://127.0.0.1:9") != std::string::npos);
  CHECK(visit.page.header("Set-Cookie").find("HttpOnly; SameSite=Lax") != std::string::npos);
}

TEST_CASE("what a client sends is shown as text", "[sandbox]") {
  Visit visit;
  visit.client.scope = "atproto <b>&bold";
  visit.client.client_id =
      "http://localhost?redirect_uri=" + percent_encode(visit.client.redirect_uri) +
      "&scope=" + percent_encode("atproto <b>&bold");
  visit.pushed = visit.client.post("/oauth/par", visit.client.par_form()).text("request_uri");
  REQUIRE(visit.pushed != "");
  const auto page = visit.open();
  CHECK(page.body.find("<b>") == std::string::npos);
}

TEST_CASE("the right password leads back to the client with a code", "[sandbox]") {
  const Visit visit;
  const auto answer = visit.send(visit.form);
  CHECK(answer.status == 303);
  CHECK(query_field(answer.header("Location"), "code") != "");
  CHECK(visit.send(visit.form).status == 400);
}

TEST_CASE("the page shows who asks, permissions it has no words for, and nothing unescaped",
          "[sandbox]") {
  const auto servers = sandbox::Sandbox::start().value();
  WireClient client(*servers, "atproto repo:app.bsky.feed.post?action=create&action=delete");
  client.login_hint.clear();
  const auto pushed = client.post("/oauth/par", client.par_form()).text("request_uri");
  const auto page = exchange(servers->issuer(), "GET", client.authorize_target(pushed)).body;
  const auto shows = [&](const std::string& text) { return page.find(text) != std::string::npos; };
  CHECK(shows("<code>repo:app.bsky.feed.post?action=create&amp;action=delete</code>"));
  CHECK(shows("<code>" + client.redirect_uri + "</code>"));
  CHECK(shows("<code>http://localhost?redirect_uri="));
  // Nobody is hinted at: the first thing to type is a name.
  CHECK(shows("value=\"\" autofocus>"));
  CHECK_FALSE(shows("autocomplete=\"current-password\" autofocus>"));
}

TEST_CASE("another account than the one hinted at may sign in", "[sandbox]") {
  Visit visit;
  visit.form["identifier"] = visit.bob.did;
  visit.form["password"] = "other";
  const auto code = query_field(visit.send(visit.form).header("Location"), "code");
  CHECK(visit.client.post("/oauth/token", visit.client.code_form(code)).text("sub") ==
        visit.bob.did);
}

TEST_CASE("no is answered with access_denied", "[sandbox]") {
  Visit visit;
  visit.form["decision"] = "deny";
  visit.form.erase("password");
  const auto location = visit.send(visit.form).header("Location");
  CHECK(query_field(location, "error") == "access_denied");
  CHECK(query_field(location, "state") == visit.client.state);
  CHECK(query_field(location, "iss") == visit.servers->issuer());
  CHECK(query_field(location, "code") == "");
}

TEST_CASE("a wrong password shows the page again, five times at most", "[sandbox]") {
  Visit visit;
  visit.form["password"] = "guess";
  for (int i = 0; i < 4; ++i) {
    const auto again = visit.send(visit.form);
    CHECK(again.status == 401);
    CHECK(again.body.find("Wrong handle or password") != std::string::npos);
    CHECK(again.body.find("guess") == std::string::npos);
  }
  CHECK(query_field(visit.send(visit.form).header("Location"), "error") == "access_denied");
  visit.form["password"] = "secret";
  CHECK(visit.send(visit.form).status == 400);
}

TEST_CASE("a form that is not the page's own is refused", "[sandbox]") {
  Visit visit;
  const auto with = [&](const std::string& name, const std::string& value) {
    auto form = visit.form;
    form[name] = value;
    return visit.send(form).status;
  };
  CHECK(with("form_token", "guess") == 400);
  CHECK(with("request_uri", "urn:other") == 400);
  CHECK(with("client_id", "http://localhost") == 400);
  CHECK(visit.send(visit.form, {}).status == 400);
  CHECK(visit.send(visit.form, {{"Cookie", "sandbox-browser=guess"}}).status == 400);
  CHECK(visit.send(visit.form, {{"Cookie", visit.cookie}, {"Origin", "http://evil.example"}})
            .status == 400);
  CHECK(
      visit.send(visit.form, {{"Cookie", visit.cookie}, {"Sec-Fetch-Site", "cross-site"}}).status ==
      400);
  CHECK(with("decision", "maybe") == 401);
  CHECK(visit.send(visit.form).status == 303);
}

TEST_CASE("one browser may open the page again; a second one ends the request", "[sandbox]") {
  const Visit visit;
  CHECK(visit.open({{"Cookie", "a=b; " + visit.cookie}}).status == 200);
  const auto second = visit.open();
  CHECK(second.status == 303);
  CHECK(query_field(second.header("Location"), "error") == "access_denied");
  CHECK(visit.send(visit.form).status == 400);
}
