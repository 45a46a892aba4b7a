// SPDX-License-Identifier: MIT
module;
#include <string>
export module latchkey.cli.trace.page;
import latchkey.cli.trace.record;

// A trace as one HTML document without a script or anything from elsewhere, in the look of the
// pages that end a login.

export namespace latchkey::cli {

/// Each run with a summary, its diagram, and the same as a list. Of long traces the end.
[[nodiscard]] std::string trace_page(const TraceText& trace);

}  // namespace latchkey::cli
