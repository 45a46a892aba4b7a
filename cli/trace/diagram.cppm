// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
export module latchkey.cli.trace.diagram;
import latchkey.cli.trace.record;

// One run of a trace as a sequence diagram: a lane for each who takes part, time going down.
// Retries have a ring, refusals a diamond and lost answers a cross, beside the words that say so.

export namespace latchkey::cli {

/// An <svg> element without styles of its own; `diagram_style` belongs to the page.
[[nodiscard]] std::string diagram(const TraceRun& run);
/// CSS for it, over the colours of page_palette().
[[nodiscard]] std::string_view diagram_style() noexcept;

}  // namespace latchkey::cli
