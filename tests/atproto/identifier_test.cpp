// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <string>
#include <string_view>
#include <utility>

import latchkey.atproto.identifier;
import latchkey.core;

using namespace latchkey;

namespace {

std::string times(std::string_view text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

// A host name of exactly `size` characters.
std::string host_of(std::size_t size) {
  std::string out = "a.com";
  while (out.size() + 64 <= size) out = std::string(63, 'a') + '.' + out;
  if (out.size() + 2 <= size) out = std::string(size - out.size() - 1, 'b') + '.' + out;
  return out;
}

template <class T>
std::string detail_of(const Result<T>& result) {
  if (result) return "accepted";
  CHECK(result.error().code == ErrorCode::invalid_argument);
  return result.error().detail;
}

}  // namespace

TEST_CASE("C2.5: did:plc and did:web are accepted as they are", "[identifier]") {
  const std::string did =
      GENERATE("did:plc:ewvi7nxzyoun6zhxrhs64oiz", "did:plc:234567abcdefghijklmnopqr",
               "did:web:example.com", "did:web:a.b.c.example.com", "did:web:xn--ls8h.example",
               "did:web:1example.com", "did:web:localhost", "did:web:localhost%3A8080",
               "did:web:localhost%3A65535", "did:web:host.test");
  CHECK(parse_did(did).value() == did);
}

TEST_CASE("parse_did: what is not exactly a did:plc or did:web is malformed", "[identifier]") {
  const std::string did =
      GENERATE("", "did", "did:", "did:plc", "did:plc:", "plc:ewvi7nxzyoun6zhxrhs64oiz",
               "did:plc:ewvi7nxzyoun6zhxrhs64oi", "did:plc:ewvi7nxzyoun6zhxrhs64oizz",
               "did:plc:ewvi7nxzyoun6zhxrhs64oi1", "did:plc:ewvi7nxzyoun6zhxrhs64oi0",
               "did:plc:Ewvi7nxzyoun6zhxrhs64oiz", "did:plc:ewvi7nxzyoun6zhxrhs64oi-",
               "did:plc:ewvi7nxzyoun6zhxrhs64oiz ", " did:plc:ewvi7nxzyoun6zhxrhs64oiz",
               "did:plc:ewvi7nxzyoun6zhxrhs64oiz#atproto", "did:plc:ewvi7nxzyoun6zhxrhs64oiz/x",
               "DID:plc:ewvi7nxzyoun6zhxrhs64oiz", "did:PLC:ewvi7nxzyoun6zhxrhs64oiz", "did::x",
               "did:web:", "did:web:com", "did:web:example.com:user", "did:web:example.com%3A8080",
               "did:web:example.com/path", "did:web:example.com%2Fpath", "did:web:Example.com",
               "did:web:exa mple.com", "did:web:127.0.0.1", "did:web:[::1]", "did:web:.example.com",
               "did:web:example.com.", "did:web:example..com", "did:web:-example.com",
               "did:web:example-.com", "did:web:exa_mple.com", "did:web:example.1com",
               "did:web:user@example.com", "did:web:localhost%3A", "did:web:localhost%3A0",
               "did:web:localhost%3A65536", "did:web:localhost%3a8080", "did:web:localhost%3A08",
               "did:web:localhost%3A1x", "did:web:localhost:8080", "did:web:localhost%3A8080%3A1",
               "did:web:LOCALHOST", "did:Web:example.com", "did:me thod:x");
  INFO(did);
  CHECK(detail_of(parse_did(did)) == "did.malformed");
}

TEST_CASE("parse_did: another method has a detail of its own", "[identifier]") {
  const std::string did = GENERATE("did:key:z6Mk", "did:ion:abc", "did:plcx:abc", "did:we:b");
  CHECK(detail_of(parse_did(did)) == "did.method");
}

TEST_CASE("parse_did: lengths", "[identifier]") {
  CHECK(parse_did("did:web:" + host_of(253)));
  CHECK(detail_of(parse_did("did:web:" + host_of(254))) == "did.malformed");
  CHECK(detail_of(parse_did("did:key:" + std::string(2040, 'z'))) == "did.method");
  CHECK(detail_of(parse_did("did:key:" + std::string(2041, 'z'))) == "did.malformed");
}

TEST_CASE("parse_did: the message shows the text without its control characters", "[identifier]") {
  CHECK(parse_did("did:plc:\x1b[2J").error().message.find('\x1b') == std::string::npos);
}

TEST_CASE("C2.8: domain names, in lower case", "[identifier]") {
  using Pair = std::pair<std::string, std::string>;
  const auto [text, handle] = GENERATE(
      Pair{"alice.bsky.social", "alice.bsky.social"},
      Pair{"Alice.Bsky.Social", "alice.bsky.social"},
      Pair{"@alice.bsky.social", "alice.bsky.social"},
      Pair{"at://alice.bsky.social", "alice.bsky.social"}, Pair{"a.co", "a.co"},
      Pair{"8.cn", "8.cn"}, Pair{"john-doe.test", "john-doe.test"},
      Pair{"xn--notarealidn.com", "xn--notarealidn.com"},
      Pair{"a.b.c.d.e.f.com", "a.b.c.d.e.f.com"}, Pair{"laptop.local.com", "laptop.local.com"},
      Pair{"alice.t-t", "alice.t-t"}, Pair{"4chan.org", "4chan.org"}, Pair{"a--b.com", "a--b.com"});
  CHECK(parse_handle(text).value() == handle);
}

TEST_CASE("C2.8: what is no domain name is malformed", "[identifier]") {
  const std::string text =
      GENERATE("", "@", "at://", "alice", "alice.", ".alice.com", "alice..com", "alice.com.",
               "-alice.com", "alice-.com", "alice.-com", "alice.com-", "al_ice.com", "al ice.com",
               " alice.com", "alice.com ", "alice.com\n", "alice@bsky.social", "@@alice.com",
               "at://@alice.com", "alice.com/x", "alice.com:443", "alice.1com", "alice.0",
               "127.0.0.1", "[::1]", "https://alice.com",
               "al\xC3\xAD"
               "ce.com",
               "alice.c\xC3\xB6m", "*.com", "did:plc:x");
  INFO(text);
  CHECK(detail_of(parse_handle(text)) == "handle.malformed");
}

TEST_CASE("C2.8: reserved top-level domains", "[identifier]") {
  const std::string tld = GENERATE("local", "arpa", "invalid", "localhost", "internal", "example",
                                   "alt", "onion", "LOCAL", "Invalid");
  CHECK(detail_of(parse_handle("alice." + tld)) == "handle.reserved_tld");
  CHECK(parse_handle("alice." + tld + "x"));
}

TEST_CASE("parse_handle: lengths", "[identifier]") {
  CHECK(parse_handle(host_of(253)));
  CHECK(parse_handle('@' + host_of(253)));
  CHECK_FALSE(parse_handle(host_of(254)));
  CHECK(parse_handle(std::string(63, 'a') + ".com"));
  CHECK_FALSE(parse_handle(std::string(64, 'a') + ".com"));
  CHECK(parse_handle("alice." + std::string(63, 'a')));
  CHECK_FALSE(parse_handle("alice." + std::string(64, 'a')));
}

TEST_CASE("parse_nsid: names are kept, the authority is lower-cased", "[identifier]") {
  using Pair = std::pair<std::string, std::string>;
  const auto [text, nsid] =
      GENERATE(Pair{"app.bsky.feed.post", "app.bsky.feed.post"},
               Pair{"com.example.fooBar", "com.example.fooBar"},
               Pair{"COM.Example.fooBar", "com.example.fooBar"}, Pair{"a.b.c", "a.b.c"},
               Pair{"one.2.three", "one.2.three"}, Pair{"a-0.b-1.c", "a-0.b-1.c"},
               Pair{"cn.8.lex.stuff", "cn.8.lex.stuff"}, Pair{"com.example.f00", "com.example.f00"},
               Pair{"xn--fiqs8s.x--y.z", "xn--fiqs8s.x--y.z"});
  CHECK(parse_nsid(text).value() == nsid);
}

TEST_CASE("parse_nsid: what is no NSID is malformed", "[identifier]") {
  const std::string text =
      GENERATE("", ".", "..", "a", "com.example", "com.example.", ".com.example.foo", "com..foo",
               "com.example.3", "com.example.3foo", "com.example.foo-bar", "com.example.foo_bar",
               "com.example.foo*", "com.example.*", "com.exa_mple.foo", "com.-example.foo",
               "com.example-.foo", "1om.example.foo", "9.b.c", "com.example.foo ",
               " com.example.foo", "com.example.foo/bar", "com.example.foo#bar",
               "com.exa\xC3\xA4mple.foo", "com.example.f\xC3\xB6o", "com example.foo.bar");
  INFO(text);
  CHECK(detail_of(parse_nsid(text)) == "nsid.malformed");
}

TEST_CASE("parse_nsid: lengths", "[identifier]") {
  const std::string name(63, 'n');
  CHECK(parse_nsid("com.example." + name));
  CHECK_FALSE(parse_nsid("com.example." + name + 'n'));
  CHECK(parse_nsid("com." + std::string(63, 'e') + ".foo"));
  CHECK_FALSE(parse_nsid("com." + std::string(64, 'e') + ".foo"));
  CHECK(parse_nsid(host_of(253) + '.' + name));
  CHECK_FALSE(parse_nsid(host_of(254) + '.' + name));
  CHECK_FALSE(parse_nsid(host_of(254) + ".n"));
}

TEST_CASE("parse_record_key: C10.3: the allowed characters", "[identifier]") {
  const std::string key =
      GENERATE("self", "3jui7kd54zh2y", "example.com", "~1.2-3_", "dHJ1ZQ", "_", "literal:self",
               "pre:fix", ":", "-", "~", "...", "a.", ".a", "0");
  CHECK(parse_record_key(key).value() == key);
}

TEST_CASE("parse_record_key: C10.3: what is no record key is malformed", "[identifier]") {
  const std::string key =
      GENERATE("", ".", "..", "a b", " a", "a ", "a/b", "a\\b", "#a", "a?b", "a@b", "a(b)", "a+b",
               "a%b", "a*", "a\"b", "\xC3\xA4", "a\n", "number[3]");
  INFO(key);
  CHECK(detail_of(parse_record_key(key)) == "rkey.malformed");
}

TEST_CASE("parse_record_key: lengths", "[identifier]") {
  CHECK(parse_record_key("a"));
  CHECK(parse_record_key(std::string(512, 'o')));
  CHECK_FALSE(parse_record_key(std::string(513, 'o')));
  CHECK_FALSE(parse_record_key(std::string_view("a\0b", 3)));
}

TEST_CASE("parse_at_uri: three parts, the repository a DID or a handle", "[identifier]") {
  const auto by_did =
      parse_at_uri("at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/app.bsky.feed.post/3jui7kd54zh2y")
          .value();
  CHECK(by_did.repo == "did:plc:ewvi7nxzyoun6zhxrhs64oiz");
  CHECK(by_did.collection == "app.bsky.feed.post");
  CHECK(by_did.rkey == "3jui7kd54zh2y");
  CHECK(parse_at_uri("at://Alice.bsky.social/app.bsky.actor.profile/self").value().repo ==
        "alice.bsky.social");
  CHECK(parse_at_uri("at://did:web:localhost%3A80/a.b.c/x:y").value().rkey == "x:y");
}

TEST_CASE("parse_at_uri: anything missing, anything more, anything malformed is refused",
          "[identifier]") {
  const std::string text = GENERATE(
      "", "at:", "at://", "at:///", "at:///a.b.c/self", "at://alice.com", "at://alice.com/",
      "at://alice.com/a.b.c", "at://alice.com/a.b.c/", "at://alice.com//self",
      "at://alice.com/a.b.c/self/", "at://alice.com/a.b.c/self/more", "at://alice.com/a.b.c/self#x",
      "at://alice.com/a.b.c/self?x", "at://alice.com/a.b/self", "at://alice.com/a.b.c/..",
      "at://alice/a.b.c/self", "at://@alice.com/a.b.c/self", "at://at://alice.com/a.b.c/self",
      "at://did:key:zabc/a.b.c/self", "at://did:plc:short/a.b.c/self", "AT://alice.com/a.b.c/self",
      "http://alice.com/a.b.c/self", "at:alice.com/a.b.c/self", " at://alice.com/a.b.c/self",
      "at://alice.com:80/a.b.c/self", "at://x@alice.com/a.b.c/self", "at://alice.local/a.b.c/self");
  INFO(text);
  CHECK(detail_of(parse_at_uri(text)) == "at_uri.malformed");
}

TEST_CASE("parse_at_uri: lengths", "[identifier]") {
  const std::string most = "at://" + host_of(253) + '/' + host_of(253) + '.' + times("n", 63) + '/';
  CHECK(parse_at_uri(most + std::string(512, 'o')));
  CHECK_FALSE(parse_at_uri(most + std::string(513, 'o')));
  CHECK_FALSE(parse_at_uri(most + std::string(8192, 'o')));
}
