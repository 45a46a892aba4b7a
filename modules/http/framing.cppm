// SPDX-License-Identifier: MIT
module;
#include <cstddef>
export module latchkey.http.framing;
import latchkey.http;

// What an answer must look like before its body is believed. Used by the transports.

export namespace latchkey {

/// True if nobody can read the answer's end in two places (RFC 9112 §6.3): one Content-Length at
/// most, of digits, or "chunked" as the only transfer coding, never both.
[[nodiscard]] bool has_clear_framing(const Headers& headers);

/// True for a final status: three digits, and none of the interim ones (1xx).
[[nodiscard]] bool is_final_status(int status) noexcept;

/// How many bytes the server may send under TLS before it has sent too much, whatever it calls
/// them: what the caps allow, twice for the framing of records and chunks, and the certificates.
[[nodiscard]] std::size_t byte_budget(const SendOptions& options) noexcept;

}  // namespace latchkey
