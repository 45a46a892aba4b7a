// SPDX-License-Identifier: MIT
module;
#include <ares.h>
#include <arpa/nameser.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.http.cares;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.owned;
import latchkey.http.dns;
import latchkey.http.timing;

namespace latchkey {
namespace {

using Time = std::chrono::steady_clock;
using Channel = Owned<ares_channeldata, ares_destroy>;
using Records = Owned<ares_txt_ext, ares_free_data>;

constexpr int kTryMs = 1000;
constexpr int kTries = 2;

Error failure(ErrorCode code, std::string_view detail, const std::string& name,
              const std::string& why) {
  return make_error(code, detail, "cannot look up " + printable(name, 253) + " in DNS: " + why);
}

// Everything that c-ares would else take from resolv.conf's options or from the environment.
ares_options fixed_options(int& mask) {
  ares_options options{};
  options.timeout = kTryMs;
  options.tries = kTries;
  options.ndots = 0;
  mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_DOMAINS |
         ARES_OPT_NOROTATE | ARES_OPT_FLAGS;
  options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES;
  return options;
}

Result<Channel> open_channel(const std::string& servers) {
  int mask = 0;
  auto options = fixed_options(mask);
  ares_channel raw = nullptr;
  if (const int status = ares_init_options(&raw, &options, mask); status != ARES_SUCCESS) {
    return make_error(ErrorCode::io, "dns.library",
                      std::string("cannot start c-ares: ") + ares_strerror(status));
  }
  Channel channel(raw);
  if (!servers.empty() &&
      ares_set_servers_ports_csv(channel.get(), servers.c_str()) != ARES_SUCCESS) {
    return make_error(ErrorCode::invalid_argument, "dns.servers",
                      "cannot use the DNS servers \"" + printable(servers, 200) +
                          "\": each must be an address, with a port if it is not 53");
  }
  return channel;
}

// What c-ares' callback fills.
struct Answer {
  std::optional<int> status{};
  std::vector<unsigned char> message{};
};

void take_answer(void* context, int status, int, unsigned char* message, int size) {
  auto& answer = *static_cast<Answer*>(context);
  answer.status = status;
  if (message != nullptr) answer.message.assign(message, message + size);
}

// Becomes readable when the caller wants the lookup to end.
class Waker {
 public:
  Waker() : descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;
  ~Waker() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  void wake() const {
    const std::uint64_t one = 1;
    static_cast<void>(::write(descriptor_, &one, sizeof one) == sizeof one);
  }
  [[nodiscard]] int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

// c-ares writes to TCP sockets without MSG_NOSIGNAL: a server that resets its connection would end
// the program. The signal is kept from this thread, and taken away if it came.
class NoBrokenPipe {
 public:
  NoBrokenPipe() {
    sigset_t pending;
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  NoBrokenPipe(const NoBrokenPipe&) = delete;
  NoBrokenPipe& operator=(const NoBrokenPipe&) = delete;
  ~NoBrokenPipe() {
    const timespec at_once{};
    if (!was_pending_) sigtimedwait(&pipe_, nullptr, &at_once);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t pipe_{}, before_{};
  bool was_pending_ = false;
};

// How long poll() may wait: until c-ares wants to send again, or the deadline.
int wait_ms(ares_channel channel, Time::time_point deadline) {
  // The deadline may have passed since it was looked at.
  const auto left = time_left(deadline, Time::now()).count();
  timeval most{.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};
  timeval room{};
  const auto* next = ares_timeout(channel, &most, &room);
  return static_cast<int>(
      std::max<std::int64_t>(next->tv_sec * 1000 + (next->tv_usec + 999) / 1000, 0));
}

// One wait, and what came of it.
void step(ares_channel channel, int waker, Time::time_point deadline) {
  std::array<ares_socket_t, ARES_GETSOCK_MAXNUM> sockets{};
  const auto bits =
      static_cast<unsigned>(ares_getsock(channel, sockets.data(), ARES_GETSOCK_MAXNUM));
  std::array<pollfd, ARES_GETSOCK_MAXNUM + 1> polled{
      {{.fd = waker, .events = POLLIN, .revents = 0}}};
  nfds_t count = 1;
  for (unsigned i = 0; i < sockets.size(); ++i) {
    short events = 0;
    if (ARES_GETSOCK_READABLE(bits, i)) events |= POLLIN;
    if (ARES_GETSOCK_WRITABLE(bits, i)) events |= POLLOUT;
    if (events != 0) polled.at(count++) = {.fd = sockets.at(i), .events = events, .revents = 0};
  }
  if (::poll(polled.data(), count, wait_ms(channel, deadline)) > 0) {
    for (nfds_t i = 1; i < count; ++i) {
      const auto& one = polled.at(i);
      const bool broken = (one.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
      const bool readable = (one.revents & POLLIN) != 0 || broken;
      const bool writable = (one.revents & POLLOUT) != 0;
      ares_process_fd(channel, readable ? one.fd : ARES_SOCKET_BAD,
                      writable ? one.fd : ARES_SOCKET_BAD);
    }
  }
  ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);  // what is due by now
}

Error late(const std::string& name) {
  return failure(ErrorCode::timeout, "dns.timeout", name,
                 "no server answered in time; check the network, and try again");
}

Error cancelled(const std::string& name) {
  return failure(ErrorCode::cancelled, "dns.cancelled", name,
                 "the lookup was cancelled; start it again if it is wanted");
}

Error malformed(const std::string& name) {
  return failure(ErrorCode::invalid_response, "dns.malformed", name,
                 "the server's answer is not DNS; ask another server");
}

/// The pieces of each record, joined.
Result<std::vector<std::string>> read_records(const std::string& name, const Answer& answer,
                                              const DnsOptions& options) {
  ares_txt_ext* raw = nullptr;
  const int status = ares_parse_txt_reply_ext(answer.message.data(),
                                              static_cast<int>(answer.message.size()), &raw);
  const Records records(raw);
  std::vector<std::string> texts;
  if (status == ARES_ENODATA) return texts;
  if (status != ARES_SUCCESS) return malformed(name);
  std::size_t size = 0;
  for (const auto* piece = records.get(); piece != nullptr; piece = piece->next) {
    if (piece->record_start != 0) texts.emplace_back();
    size += piece->length;
    if (size > options.max_size || texts.size() > options.max_records) {
      return failure(ErrorCode::response_too_large, "dns.too_large", name,
                     "it has more records than anybody needs; remove those of no use");
    }
    texts.back().append(as_text({piece->txt, piece->length}));
  }
  return texts;
}

Result<std::vector<std::string>> judge(const std::string& name, const Answer& answer,
                                       const DnsOptions& options) {
  switch (*answer.status) {
    case ARES_SUCCESS:
      return read_records(name, answer, options);
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
      return std::vector<std::string>{};
    case ARES_ETIMEOUT:
      return late(name);
    case ARES_EBADRESP:
      return malformed(name);
    default:
      return failure(ErrorCode::unreachable, "dns.failed", name,
                     "no server could be reached, or none would answer (" +
                         std::string(ares_strerror(*answer.status)) +
                         "); check the network, and try again later");
  }
}

std::string joined(const std::vector<std::string>& servers) {
  std::string out;
  for (const auto& server : servers) out += (out.empty() ? "" : ",") + server;
  return out;
}

}  // namespace

Result<std::unique_ptr<CaresResolver>> CaresResolver::open(CaresOptions options) {
  static std::once_flag once;
  static int started = ARES_SUCCESS;
  std::call_once(once, [] { started = ares_library_init(ARES_LIB_INIT_ALL); });
  if (started != ARES_SUCCESS) {
    return make_error(ErrorCode::io, "dns.library",
                      std::string("cannot start c-ares: ") + ares_strerror(started));
  }
  auto servers = joined(options.servers);
  if (const auto tried = open_channel(servers); !tried) return tried.error();
  return std::unique_ptr<CaresResolver>(new CaresResolver(std::move(servers)));
}

Result<std::vector<std::string>> CaresResolver::txt(const std::string& name,
                                                    const DnsOptions& options) {
  if (!is_dns_name(name)) {
    return failure(ErrorCode::invalid_argument, "dns.name", name,
                   "it is not a name of at most 253 letters, digits, hyphens and dots");
  }
  if (options.stop.stop_requested()) return cancelled(name);
  const auto deadline = Time::now() + options.timeout;
  const NoBrokenPipe no_signal;
  auto channel = open_channel(servers_);
  if (!channel) return std::move(channel).error();
  Answer answer;
  const Waker waker;
  const std::stop_callback wake(options.stop, [&waker] { waker.wake(); });
  ares_query(channel->get(), name.c_str(), ns_c_in, ns_t_txt, take_answer, &answer);
  while (!answer.status && !options.stop.stop_requested() && Time::now() < deadline) {
    step(channel->get(), waker.descriptor(), deadline);
  }
  if (answer.status) return judge(name, answer, options);
  ares_cancel(channel->get());
  return options.stop.stop_requested() ? cancelled(name) : late(name);
}

}  // namespace latchkey
