// SPDX-License-Identifier: MIT
// A browser without a person, for $BROWSER: opens the address in its only argument and follows the
// one redirect that a provider gives which approves by itself. LATCHKEY_VISITOR_CA: a file of
// authorities that it trusts.
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>

import latchkey;

int main(int argc, char** argv) try {
  if (argc != 2) return 2;
  const char* authorities = std::getenv("LATCHKEY_VISITOR_CA");
  const auto transport =
      latchkey::CpprestTransport::open({.http_rule = latchkey::HttpRule::allow_http_for_loopback,
                                        .extra_ca_file = authorities ? authorities : ""})
          .value();
  const auto page =
      transport->send(latchkey::json_get(latchkey::Url::parse(argv[1]).value()), {}).value();
  const std::string* client = page.headers.find("Location");
  if (client == nullptr) return 1;
  const auto end =
      transport->send(latchkey::json_get(latchkey::Url::parse(*client).value()), {}).value();
  return end.status == 200 ? 0 : 1;
} catch (const std::exception& e) {
  std::cerr << "visitor: " << e.what() << '\n';
  return 1;
}
