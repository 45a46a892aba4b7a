// SPDX-License-Identifier: MIT
module;
#include <memory>
export module latchkey.http.trace.dns;
import latchkey.http.dns;
import latchkey.http.trace;

// DNS look-ups in a trace, beside the requests that the transports' decorator records.

export namespace latchkey {

/// `dns` with this tracer; itself if it is null, or if there is no tracer. Each look-up is a step
/// from the client to the handle's host when it has ended: "dns" (there are records), "dns_empty",
/// or "dns_failed" with the error. The name is not told: it is somebody's handle.
[[nodiscard]] std::shared_ptr<DnsResolver> traced(std::shared_ptr<DnsResolver> dns,
                                                  const std::shared_ptr<Tracer>& tracer);

}  // namespace latchkey
