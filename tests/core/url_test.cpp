// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <string>
#include <string_view>

import latchkey.core;
import latchkey.test.support;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::string_view_literals;

TEST_CASE("url: is normalised once", "[url]") {
  struct Row {
    std::string_view text, normal;
    std::uint16_t port;
  };
  for (const auto& row : {
           Row{"https://example.com", "https://example.com/", 443},
           Row{"HTTPS://Example.COM/A/b", "https://example.com/A/b", 443},
           Row{"https://example.com:443/x", "https://example.com/x", 443},
           Row{"http://example.com:80/", "http://example.com/", 80},
           Row{"https://example.com:80/", "https://example.com:80/", 80},
           Row{"https://example.com:65535/", "https://example.com:65535/", 65535},
           Row{"https://example.com?a=b", "https://example.com/?a=b", 443},
           Row{"https://example.com/#x", "https://example.com/#x", 443},
           Row{"https://example.com/?", "https://example.com/?", 443},
           Row{"https://example.com/%7Ea?q=%20#f", "https://example.com/%7Ea?q=%20#f", 443},
           Row{"http://127.0.0.1:8080/cb", "http://127.0.0.1:8080/cb", 8080},
           Row{"http://[::1]:8080/cb", "http://[::1]:8080/cb", 8080},
           Row{"https://[2001:DB8::1]/", "https://[2001:db8::1]/", 443},
           Row{"app.example://callback/x", "app.example://callback/x", 0},
       }) {
    INFO(row.text);
    const auto url = Url::parse(row.text);
    REQUIRE(outcome(url) == "ok");
    CHECK(url->text() == row.normal);
    CHECK(url->port() == row.port);
    CHECK(Url::parse(url->text()).value() == *url);
  }
}

TEST_CASE("url: its parts", "[url]") {
  const auto url = Url::parse("https://pds.example:8443/xrpc/a.b?x=1&y=2#top").value();
  CHECK(url.scheme() == "https");
  CHECK(url.host() == "pds.example");
  CHECK(url.port() == 8443);
  CHECK(url.has_explicit_port());
  CHECK(url.path() == "/xrpc/a.b");
  CHECK(url.query() == "x=1&y=2");
  CHECK(url.fragment() == "top");
  CHECK(url.origin() == "https://pds.example:8443");
  CHECK(url.authority() == "pds.example:8443");
  CHECK(url.target() == "/xrpc/a.b?x=1&y=2");
  CHECK(url.htu() == "https://pds.example:8443/xrpc/a.b");
}

TEST_CASE("url: an empty query is not an absent one", "[url]") {
  CHECK(Url::parse("https://a.example/?")->has_query());
  CHECK_FALSE(Url::parse("https://a.example/")->has_query());
  CHECK(Url::parse("https://a.example/#")->has_fragment());
  CHECK_FALSE(Url::parse("https://a.example/?#")->fragment().size() > 0);
  CHECK_FALSE(Url::parse("https://a.example/?").value() ==
              Url::parse("https://a.example/").value());
}

TEST_CASE("url: htu has no query, no fragment and no default port", "[url]") {
  for (const std::string_view text : {"https://a.example/p", "https://A.example:443/p?x",
                                      "https://a.example/p#y", "https://a.example/p?x=1#y?z"}) {
    INFO(text);
    CHECK(Url::parse(text)->htu() == "https://a.example/p");
  }
}

TEST_CASE("url: refuses what programs could read differently", "[url]") {
  for (const std::string_view text : {""sv,
                                      "example.com"sv,
                                      "/path"sv,
                                      "//example.com/"sv,
                                      "https:example.com"sv,
                                      "https:/example.com"sv,
                                      "https://"sv,
                                      "https:///path"sv,
                                      "https://?x"sv,
                                      "://example.com"sv,
                                      "1https://example.com"sv,
                                      "ht tps://example.com"sv,
                                      " https://example.com"sv,
                                      "https://example.com "sv,
                                      "https://exa mple.com"sv,
                                      "https://example.com/a b"sv,
                                      "https://example.com/a\\b"sv,
                                      "https://example.com/\n"sv,
                                      "https://example.com/\0"sv,
                                      "https://example.com/\x7f"sv,
                                      "https://ex\xc3\xa4mple.com/"sv,
                                      "https://example.com/\xc3\xa4"sv,
                                      "https://example.com/%"sv,
                                      "https://example.com/%4"sv,
                                      "https://example.com/%zz"sv,
                                      "https://example.com/?%"sv,
                                      "https://example.com/#%g0"sv,
                                      "https://exa%6dple.com/"sv,
                                      "https://example.com:"sv,
                                      "https://example.com:/"sv,
                                      "https://example.com:0/"sv,
                                      "https://example.com:65536/"sv,
                                      "https://example.com:-1/"sv,
                                      "https://example.com:+1/"sv,
                                      "https://example.com:1a/"sv,
                                      "https://example.com: 1/"sv,
                                      "https://example.com:000443/"sv,
                                      "https://a..example/"sv,
                                      "https://.example/"sv,
                                      "https://example.com./"sv,
                                      "https://2130706433/"sv,
                                      "https://0x7f000001/"sv,
                                      "https://0x7f.1/"sv,
                                      "https://127.1/"sv,
                                      "https://0177.0.0.1/"sv,
                                      "https://127.0.0.01/"sv,
                                      "https://256.0.0.1/"sv,
                                      "https://1.2.3.4.5/"sv,
                                      "https://1.2.3/"sv,
                                      "https://example.0x1/"sv,
                                      "https://[::1/"sv,
                                      "https://::1/"sv,
                                      "https://[]/"sv,
                                      "https://[:]/"sv,
                                      "https://[:::]/"sv,
                                      "https://[1::2::3]/"sv,
                                      "https://[12345::]/"sv,
                                      "https://[::g]/"sv,
                                      "https://[fe80::1%25eth0]/"sv,
                                      "https://[::ffff:127.0.0.1]/"sv,
                                      "https://[1:2:3:4:5:6:7]/"sv,
                                      "https://[1:2:3:4:5:6:7:8:9]/"sv,
                                      "https://[::1]x/"sv,
                                      "https://[::1]:x/"sv,
                                      "https://exa<mple.com/"sv,
                                      "https://example.com/<"sv,
                                      "https://example.com/\""sv,
                                      "https://example.com/a|b"sv,
                                      "https://example.com/{a}"sv,
                                      "https://example.com/#a#b"sv}) {
    INFO(text);
    CHECK(outcome(Url::parse(text)) == "invalid_url url.malformed");
  }
}

TEST_CASE("url: refuses user names and passwords without showing them", "[url]") {
  for (const std::string_view text :
       {"https://user@example.com/", "https://user:hunter2@example.com/", "https://@example.com/",
        "https://example.com:443@evil.example/", "https://example.com\\@evil.example/",
        "https://[::1]@example.com/"}) {
    const auto url = Url::parse(text);
    INFO(text);
    CHECK(outcome(url) == "invalid_url url.userinfo");
    CHECK(url.error().message.find("hunter2") == std::string::npos);
  }
}

TEST_CASE("url: an at sign in path, query or fragment is no user name", "[url]") {
  for (const std::string_view text :
       {"https://example.com/@a", "https://example.com/?a@b", "https://example.com/#a@b"}) {
    CHECK(outcome(Url::parse(text)) == "ok");
  }
}

TEST_CASE("url: a message never shows a query, for it may hold a code", "[url]") {
  const auto url = Url::parse("https://exa mple.com/?code=hunter2#hunter2");
  REQUIRE_FALSE(url.has_value());
  CHECK(url.error().message.find("hunter2") == std::string::npos);
}

TEST_CASE("url: lengths at their limits", "[url]") {
  const std::string head = "https://example.com/";
  CHECK(outcome(Url::parse(head + std::string(8192 - head.size(), 'a'))) == "ok");
  CHECK(outcome(Url::parse(head + std::string(8193 - head.size(), 'a'))) ==
        "invalid_url url.malformed");
  CHECK(outcome(Url::parse("https://" + std::string(63, 'a') + ".example/")) == "ok");
  CHECK(outcome(Url::parse("https://" + std::string(64, 'a') + ".example/")) ==
        "invalid_url url.malformed");
}

TEST_CASE("url: with_target keeps the origin", "[url]") {
  const auto url = Url::parse("https://pds.example:8443/old?x#y").value();
  CHECK(url.with_target("/xrpc/a?b=c").value().text() == "https://pds.example:8443/xrpc/a?b=c");
  CHECK(url.with_target("//evil.example/").value().host() == "pds.example");
  for (const std::string_view target :
       {"", "xrpc", "@evil.example/", ".evil.example/", ":1/", "?a", "/a b", "/%"}) {
    INFO(target);
    CHECK(outcome(url.with_target(target)) == "invalid_url url.malformed");
  }
}

TEST_CASE("loopback: names and addresses of this machine, and nothing that looks like them",
          "[url]") {
  for (const std::string_view host : {"localhost", "127.0.0.1", "127.255.255.254", "[::1]"}) {
    INFO(host);
    CHECK(is_loopback_host(host));
  }
  for (const std::string_view host :
       {"", "localhost.example.com", "127.0.0.1.example.com", "128.0.0.1", "0.0.0.0", "10.0.0.1",
        "[::]", "[::2]", "localhost.", "127.1", "evil-localhost", "::1", "127.0.0.256"}) {
    INFO(host);
    CHECK_FALSE(is_loopback_host(host));
  }
}

TEST_CASE("ip literal: addresses are, names are not", "[url]") {
  for (const std::string_view host : {"127.0.0.1", "8.8.8.8", "[::1]", "[2001:db8::1]"})
    CHECK(is_ip_literal(host));
  for (const std::string_view host : {"localhost", "example.com", "1.2.3.4.example", "1.2.3", ""})
    CHECK_FALSE(is_ip_literal(host));
}

TEST_CASE("scheme: https always, http only to this machine and only when allowed", "[url]") {
  struct Row {
    std::string_view text;
    bool strict, development;
  };
  for (const auto& row :
       {Row{"https://example.com/", true, true}, Row{"http://localhost:3000/", false, true},
        Row{"http://127.0.0.1/", false, true}, Row{"http://[::1]/", false, true},
        Row{"http://example.com/", false, false}, Row{"http://10.0.0.1/", false, false},
        Row{"http://localhost.example.com/", false, false}, Row{"ftp://localhost/", false, false},
        Row{"ws://127.0.0.1/", false, false}}) {
    INFO(row.text);
    const auto url = Url::parse(row.text).value();
    const std::string refused = "insecure_address url.not_https";
    CHECK(outcome(check_scheme(url, HttpRule::https_only)) == (row.strict ? "ok" : refused));
    CHECK(outcome(check_scheme(url, HttpRule::allow_http_for_loopback)) ==
          (row.development ? "ok" : refused));
  }
}

TEST_CASE("origin: only in its canonical form", "[url]") {
  for (const std::string_view text :
       {"https://example.com", "https://example.com:8443", "https://127.0.0.1"}) {
    INFO(text);
    CHECK(outcome(parse_origin(text, HttpRule::https_only)) == "ok");
  }
  for (const std::string_view text :
       {"https://example.com/", "https://example.com/x", "https://example.com?x",
        "https://example.com#x", "https://Example.com", "HTTPS://example.com",
        "https://example.com:443"}) {
    INFO(text);
    CHECK(outcome(parse_origin(text, HttpRule::https_only)) == "invalid_url url.not_an_origin");
  }
  CHECK(outcome(parse_origin("http://localhost:3000", HttpRule::https_only)) ==
        "insecure_address url.not_https");
  CHECK(outcome(parse_origin("http://localhost:3000", HttpRule::allow_http_for_loopback)) == "ok");
  CHECK(outcome(parse_origin("https://user@example.com", HttpRule::https_only)) ==
        "invalid_url url.userinfo");
  CHECK(outcome(parse_origin("example.com", HttpRule::https_only)) == "invalid_url url.malformed");
}
