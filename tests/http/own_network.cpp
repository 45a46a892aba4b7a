// SPDX-License-Identifier: MIT
module;
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <string_view>
module latchkey.test.own_network;

namespace latchkey::test {
namespace {

ifreq interface_request(std::string_view name) {
  ifreq out{};
  name.copy(out.ifr_name, IFNAMSIZ - 1);
  return out;
}

bool set_address(int socket, unsigned long what, std::string_view address) {
  auto request = interface_request("lo:1");
  sockaddr_in in{};
  in.sin_family = AF_INET;
  if (::inet_pton(AF_INET, std::string(address).c_str(), &in.sin_addr) != 1) return false;
  std::memcpy(&request.ifr_addr, &in, sizeof in);
  return ::ioctl(socket, what, &request) == 0;
}

bool furnish(int socket) {
  auto request = interface_request("lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return ::ioctl(socket, SIOCSIFFLAGS, &request) == 0 &&
         set_address(socket, SIOCSIFADDR, kPublicV4) &&
         set_address(socket, SIOCSIFNETMASK, "255.255.255.255");
}

bool move_out() {
  if (::unshare(CLONE_NEWNET) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return false;
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return false;
  const bool furnished = furnish(socket);
  ::close(socket);
  return furnished;
}

// Before any thread starts: a network belongs to a thread, and to those that it starts.
const bool moved_out = move_out();

}  // namespace

bool has_own_network() {
  return moved_out;
}

}  // namespace latchkey::test
