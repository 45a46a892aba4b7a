// SPDX-License-Identifier: MIT
#include <iostream>
#include <string>

import latchkey.core;
import latchkey.flows.device_identity;
import latchkey.test.outcome;

// Another process for the identity tests: `device_identity_child FOLDER` waits for a line on
// standard input, and then prints the identity of this device, or the error.

int main(int, char** words) {
  std::string line;
  std::cout << "ready" << std::endl;
  std::getline(std::cin, line);
  const auto identity = latchkey::DeviceIdentity::open(words[1]);
  std::cout << (identity ? identity->id() : latchkey::test::outcome(identity)) << std::endl;
}
