// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
module latchkey.http.trace.event;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.time;
import latchkey.http.trace.words;

namespace latchkey {
namespace {

// Members in the order in which they are added; what is empty is left out.
class Line {
 public:
  void text(std::string_view name, std::string_view value) {
    if (!value.empty()) put(name, json_quote(value));
  }
  template <class Number>
  void number(std::string_view name, Number value) {
    put(name, std::to_string(value));
  }
  void flag(std::string_view name, bool value) { put(name, value ? "true" : "false"); }
  void time(std::string_view name, Duration took) { number(name, took.count()); }
  [[nodiscard]] std::string finish() && { return std::move(text_) + "}"; }

 private:
  void put(std::string_view name, std::string_view json) {
    text_ += text_.size() == 1 ? "\"" : ",\"";
    text_ += name;
    text_ += "\":";
    text_ += json;
  }
  std::string text_ = "{";
};

std::string run_name(std::uint32_t run) {
  unsigned char bytes[4];
  for (std::size_t i = 0; i < sizeof bytes; ++i)
    bytes[i] = static_cast<unsigned char>(run >> (8 * (sizeof bytes - 1 - i)));
  return hex_encode(bytes);
}

void write(Line& line, const TracedRequest& request) {
  line.text("kind", "request");
  line.text("from", to_string(TraceRole::client));
  line.text("to", to_string(request.to));
  line.text("origin", request.origin.text());
  line.text("method", request.method.text());
  line.text("path", request.path.text());
  line.text("purpose", request.purpose.text());
  line.text("grant", request.grant.text());
  line.text("authorization", request.authorization.text());
  if (request.proof) {
    line.text("key", request.proof->key.text());
    line.flag("nonce", request.proof->has_nonce);
  }
  line.number("bytes", request.bytes);
  line.number("attempt", request.attempt);
  if (request.retry == TraceRetry::none) return;
  line.text("retry", to_string(request.retry));
  line.number("repeats", request.repeats);
}

void write(Line& line, const TracedAnswer& answer) {
  line.text("kind", "answer");
  line.number("request", answer.request);
  line.number("status", answer.status);
  line.text("error", answer.error.text());
  if (answer.new_nonce) line.flag("new_nonce", true);
  if (answer.retry_after) line.number("retry_after", answer.retry_after->count());
  line.number("bytes", answer.bytes);
  line.time("ms", answer.took);
}

void write(Line& line, const TracedFailure& failure) {
  line.text("kind", "failure");
  line.number("request", failure.request);
  line.text("code", to_string(failure.code));
  line.text("detail", failure.detail.text());
  line.text("delivery", failure.delivery == Delivery::maybe_sent ? "maybe_sent" : "not_sent");
  line.time("ms", failure.took);
}

void write(Line& line, const TracedStep& step) {
  line.text("kind", "step");
  line.text("from", to_string(step.from));
  line.text("to", to_string(step.to));
  line.text("step", step.name.text());
  if (step.code) line.text("code", to_string(*step.code));
  line.text("detail", step.detail.text());
}

}  // namespace

std::string_view to_string(TraceRole role) noexcept {
  switch (role) {
    case TraceRole::client:
      return "client";
    case TraceRole::browser:
      return "browser";
    case TraceRole::authorization_server:
      return "authorization_server";
    case TraceRole::pds:
      return "pds";
    case TraceRole::resource_server:
      return "resource_server";
    case TraceRole::directory:
      return "directory";
    case TraceRole::handle_host:
      break;
  }
  return "handle_host";
}

std::string_view to_string(TraceRetry retry) noexcept {
  switch (retry) {
    case TraceRetry::none:
      return "none";
    case TraceRetry::use_dpop_nonce:
      return "use_dpop_nonce";
    case TraceRetry::clock:
      return "clock";
    case TraceRetry::connection_lost:
      return "connection_lost";
    case TraceRetry::token_renewed:
      break;
  }
  return "token_renewed";
}

std::string trace_line(const TraceEvent& event) {
  Line line;
  line.number("v", kTraceVersion);
  line.text("run", run_name(event.run));
  line.number("id", event.id);
  line.text("at", format_rfc3339(event.at));
  std::visit([&](const auto& what) { write(line, what); }, event.what);
  return std::move(line).finish();
}

}  // namespace latchkey
