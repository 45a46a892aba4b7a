// SPDX-License-Identifier: MIT
module;
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>
module latchkey.test.attacks;

namespace latchkey::test {
namespace {

using NameAndText = std::pair<const char*, std::string>;

std::vector<AddressAttack> all_ending(std::string_view ending,
                                      std::initializer_list<NameAndText> attacks) {
  std::vector<AddressAttack> out;
  for (const auto& [name, url] : attacks)
    out.push_back({{.name = name, .ending = std::string(ending)}, url});
  return out;
}

}  // namespace

// Addresses in disguise: no adapter gets to see them.
std::vector<AddressAttack> spelling_attacks() {
  auto out = all_ending(
      kNotUrl, {{"IPv4 as one decimal number", "https://2130706433/"},
                {"IPv4 as one hexadecimal number", "https://0x7f000001/"},
                {"IPv4 as one octal number", "https://017700000001/"},
                {"IPv4 with octal parts", "https://0177.0.0.1/"},
                {"IPv4 with hexadecimal parts", "https://0x7f.0.0.0x1/"},
                {"IPv4 with two parts", "https://127.1/"},
                {"IPv4 with three parts", "https://127.0.1/"},
                {"IPv4 with a leading zero", "https://127.0.0.01/"},
                {"IPv4 with a part beyond 255", "https://127.0.0.257/"},
                {"IPv4 with five parts", "https://1.127.0.0.1/"},
                {"IPv4 as zero", "https://0/"},
                {"IPv4 with a trailing dot", "https://127.0.0.1./"},
                {"a name with a trailing dot", "https://localhost./"},
                {"a public name with a trailing dot", "https://pds.example./"},
                {"an empty label", "https://pds..example/"},
                {"an empty host", "https:///etc/passwd"},
                {"IPv6 with a zone", "https://[fe80::1%25eth0]/"},
                {"IPv6 with a bare zone", "https://[fe80::1%eth0]/"},
                {"IPv6 with an IPv4 tail", "https://[::ffff:127.0.0.1]/"},
                {"IPv6 without its end", "https://[::1/"},
                {"full-width digits", "https://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/"},
                {"ideographic full stops",
                 "https://127\xe3\x80\x82"
                 "0\xe3\x80\x82"
                 "0\xe3\x80\x82"
                 "1/"},
                {"circled letters", "https://\xe2\x93\x9bocalhost/"},
                {"a soft hyphen in a name", "https://local\xc2\xadhost/"},
                {"a percent-encoded host", "https://%31%32%37.0.0.1/"},
                {"a backslash before the host", "https:\\\\127.0.0.1/"},
                {"a backslash in the host", "https://pds.example\\.127.0.0.1/"},
                {"a tab in the host", "https://local\thost/"},
                {"a line end in the host", "https://pds.example\r\nHost: x/"},
                {"a NUL in the host", std::string("https://pds.example\0.internal/", 30)},
                {"a space before the port", "https://pds.example :443/"},
                {"an empty port", "https://pds.example:/"},
                {"port zero", "https://pds.example:0/"},
                {"a port that wraps around to 443", "https://pds.example:65979/"},
                {"a port with a sign", "https://pds.example:+443/"},
                {"a line end in the path", "https://pds.example/\r\nX: y"},
                {"a host of 254 characters", "https://" + std::string(250, 'a') + ".com/"}});
  const std::string kUserInfo = "invalid_url url.userinfo not_sent";
  out.push_back(
      {{.name = "a host as user name", .ending = kUserInfo}, "https://pds.example@10.0.0.1/"});
  out.push_back({{.name = "user and password", .ending = kUserInfo}, "https://a:b@pds.example/"});
  out.push_back({{.name = "an empty user name", .ending = kUserInfo}, "https://@127.0.0.1/"});
  const std::string kNotHttps = "insecure_address url.not_https not_sent";
  out.push_back({{.name = "plain http", .ending = kNotHttps}, "http://pds.example/"});
  out.push_back({{.name = "plain http to this machine", .ending = kNotHttps}, "http://127.0.0.1/"});
  out.push_back({{.name = "a file", .ending = kNotHttps}, "file://host/etc/passwd"});
  out.push_back({{.name = "gopher", .ending = kNotHttps}, "gopher://pds.example:6379/_FLUSHALL"});
  return out;
}

std::vector<AddressAttack> literal_attacks() {
  auto out = all_ending(
      kNotPublic, {{"loopback", "https://127.0.0.1/"},
                   {"the end of loopback", "https://127.255.255.254:8443/"},
                   {"unspecified", "https://0.0.0.0/"},
                   {"this network", "https://0.1.2.3/"},
                   {"private, class A", "https://10.0.0.1/"},
                   {"private, class B", "https://172.31.255.1/"},
                   {"private, class C", "https://192.168.1.1/"},
                   {"link-local", "https://169.254.1.1/"},
                   {"the metadata service of clouds", "https://169.254.169.254/latest/meta-data/"},
                   {"shared with the provider", "https://100.64.0.1/"},
                   {"a cloud's metadata service in shared space", "https://100.100.100.200/"},
                   {"protocol assignments", "https://192.0.0.192/"},
                   {"documentation 1", "https://192.0.2.1/"},
                   {"documentation 2", "https://198.51.100.1/"},
                   {"documentation 3", "https://203.0.113.1/"},
                   {"6to4 relays", "https://192.88.99.1/"},
                   {"benchmarks", "https://198.18.0.1/"},
                   {"multicast", "https://224.0.0.1/"},
                   {"reserved", "https://240.0.0.1/"},
                   {"broadcast", "https://255.255.255.255/"},
                   {"IPv6 unspecified", "https://[::]/"},
                   {"IPv6 loopback", "https://[::1]/"},
                   {"IPv6 loopback, written out", "https://[0:0:0:0:0:0:0:1]:8443/"},
                   {"IPv4-mapped loopback", "https://[::ffff:7f00:1]/"},
                   {"IPv4-mapped public", "https://[::ffff:808:808]/"},
                   {"IPv4-compatible loopback", "https://[::7f00:1]/"},
                   {"IPv4-translated loopback", "https://[::ffff:0:7f00:1]/"},
                   {"NAT64 of loopback", "https://[64:ff9b::7f00:1]/"},
                   {"NAT64 of a private address", "https://[64:ff9b::a00:1]/"},
                   {"NAT64 of the metadata service", "https://[64:ff9b::a9fe:a9fe]/"},
                   {"local NAT64", "https://[64:ff9b:1::a00:1]/"},
                   {"local NAT64 of a public address", "https://[64:ff9b:1::808:808]/"},
                   {"6to4 of loopback", "https://[2002:7f00:1::]/"},
                   {"Teredo", "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/"},
                   {"unique local", "https://[fd12:3456::1]/"},
                   {"a cloud's metadata service over IPv6", "https://[fd00:ec2::254]/"},
                   {"IPv6 link-local", "https://[fe80::1]/"},
                   {"IPv6 site-local", "https://[fec0::1]/"},
                   {"IPv6 multicast", "https://[ff02::1]/"},
                   {"IPv6 documentation", "https://[2001:db8::1]/"},
                   {"IPv6 documentation, new", "https://[3fff::1]/"},
                   {"IPv6 benchmarks", "https://[2001:2::1]/"},
                   {"ORCHID", "https://[2001:20::1]/"},
                   {"discard only", "https://[100::1]/"},
                   {"segment routing", "https://[5f00::1]/"},
                   {"IPv6 that nobody was given", "https://[4000::1]/"}});
  const std::string kPort = "insecure_address address.port not_sent";
  out.push_back({{.name = "the port of ssh", .ending = kPort}, "https://1.2.3.4:22/"});
  out.push_back({{.name = "the port of mail", .ending = kPort}, "https://mail.example:25/"});
  out.push_back({{.name = "the port of http", .ending = kPort}, "https://pds.example:80/"});
  out.push_back(
      {{.name = "the last port of others", .ending = kPort}, "https://pds.example:1023/"});
  return out;
}

std::vector<AddressAttack> local_name_attacks() {
  return all_ending(kNotPublic,
                    {{"localhost", "https://localhost/"},
                     {"localhost in capitals", "https://LOCALHOST:8443/"},
                     {"a name under localhost", "https://pds.localhost/"},
                     {"a name without a dot", "https://intranet/"},
                     {"a name of multicast DNS", "https://printer.local/"},
                     {"a metadata service by name", "https://metadata.google.internal/"},
                     {"a name of the home network", "https://router.home.arpa/"},
                     {"an onion service", "https://pds.onion/"}});
}

std::vector<NameAttack> name_attacks() {
  const auto leading = [](const char* name, std::vector<std::string> addresses) {
    return NameAttack{{.name = name, .ending = std::string(kNotPublic)}, std::move(addresses)};
  };
  std::vector<NameAttack> out = {
      leading("a name that leads to loopback", {"127.0.0.1"}),
      leading("a name that leads to IPv6 loopback", {"::1"}),
      leading("a name that leads to the unspecified address", {"0.0.0.0"}),
      leading("a name that leads to the IPv6 unspecified address", {"::"}),
      leading("a name that leads to a private address", {"10.1.2.3"}),
      leading("a name that leads to the metadata service", {"169.254.169.254"}),
      leading("a name that leads to shared space", {"100.64.1.1"}),
      leading("a name that leads to a mapped address", {"::ffff:127.0.0.1"}),
      leading("a name that leads to a mapped private address", {"::ffff:10.0.0.1"}),
      leading("a name that leads through NAT64", {"64:ff9b::7f00:1"}),
      leading("a name that leads through 6to4", {"2002:7f00:1::"}),
      leading("a name that leads to a unique local address", {"fd00::1"}),
      leading("a name that leads to a link-local address", {"fe80::1"}),
      leading("a name that leads to multicast", {"224.0.0.251"}),
      leading("a name that leads to broadcast", {"255.255.255.255"}),
      leading("a name that leads to many private addresses",
              {"10.0.0.1", "fd00::1", "127.0.0.1", "::1", "192.168.0.1", "169.254.0.1"})};
  out.push_back(
      {{.name = "a name that leads nowhere", .ending = "unreachable http.name not_sent"}, {}});
  return out;
}

}  // namespace latchkey::test
