// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
#include <utility>
#include <vector>
module latchkey.http.trace.dns;
import latchkey.core.error;
import latchkey.http.dns;
import latchkey.http.trace;

namespace latchkey {
namespace {

using Records = Result<std::vector<std::string>>;

TracedStep step_of(const Records& records) {
  TracedStep step{.from = TraceRole::client, .to = TraceRole::handle_host, .name = "dns"};
  if (!records) {
    step.name = "dns_failed";
    step.code = records.error().code;
    step.detail = TraceDetail(records.error().detail);
  } else if (records->empty()) {
    step.name = "dns_empty";
  }
  return step;
}

class TracingDns final : public DnsResolver {
 public:
  TracingDns(std::shared_ptr<DnsResolver> inner, std::shared_ptr<Tracer> tracer)
      : inner_(std::move(inner)), tracer_(std::move(tracer)) {}

  Records txt(const std::string& name, const DnsOptions& options) override {
    auto records = inner_->txt(name, options);
    tracer_->record(step_of(records));
    return records;
  }

 private:
  const std::shared_ptr<DnsResolver> inner_;
  const std::shared_ptr<Tracer> tracer_;
};

}  // namespace

std::shared_ptr<DnsResolver> traced(std::shared_ptr<DnsResolver> dns,
                                    const std::shared_ptr<Tracer>& tracer) {
  if (!dns || !tracer) return dns;
  return std::make_shared<TracingDns>(std::move(dns), tracer);
}

}  // namespace latchkey
