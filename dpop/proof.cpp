// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
module latchkey.dpop.proof;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.dpop.jwk;
import latchkey.dpop.nonce;
import latchkey.dpop.prover;

namespace latchkey {
namespace {

constexpr std::size_t kMaxMethod = 64;
constexpr std::size_t kMaxHtu = 8192;

bool is_method(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && text.size() <= kMaxMethod &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  kMarks.find(c) != std::string_view::npos;
         });
}

// Printable ASCII without what JSON would escape, and without query and fragment. Looks at all
// characters without leaving early, which the compiler turns into a few vector instructions.
bool is_htu(std::string_view text) {
  bool good = !text.empty() && text.size() <= kMaxHtu;
  for (const char c : text) {
    good &= (c > ' ') & (c <= '~') & (c != '"') & (c != '\\') & (c != '?') & (c != '#');
  }
  return good;
}

// Appends an INTEGER of DER as 32 bytes and returns what follows it; empty if it is not positive,
// not minimal or larger than 32 bytes.
std::span<const unsigned char> take_integer(std::span<const unsigned char> der,
                                            unsigned char* out) noexcept {
  if (der.size() < 3 || der[0] != 0x02 || der[1] == 0 || der[1] > 33) return {};
  const std::size_t size = der[1];
  if (der.size() < 2 + size) return {};
  auto digits = der.subspan(2, size);
  if ((digits[0] & 0x80) != 0) return {};
  if (digits[0] == 0) {
    if (size == 1 || (digits[1] & 0x80) == 0) return {};
    digits = digits.subspan(1);
  }
  if (digits.size() > 32) return {};
  std::fill_n(out, 32 - digits.size(), static_cast<unsigned char>(0));
  std::copy(digits.begin(), digits.end(), out + (32 - digits.size()));
  return der.subspan(2 + size);
}

}  // namespace

Result<void> check_proof_input(const ProofInput& input) {
  if (!is_method(input.htm)) {
    return make_error(ErrorCode::invalid_argument, "dpop.htm",
                      "cannot make a DPoP proof: " + printable(input.htm, 64) +
                          " is not an HTTP method in upper case; pass the method as it is sent");
  }
  if (!is_htu(input.htu)) {
    return make_error(ErrorCode::invalid_argument, "dpop.htu",
                      "cannot make a DPoP proof: the URL is empty, too long, or has a query, a "
                      "fragment or characters that URLs do not have; pass Url::htu()");
  }
  if (input.nonce && !is_dpop_nonce(*input.nonce)) {
    return make_error(ErrorCode::invalid_argument, "dpop.nonce",
                      "cannot make a DPoP proof: the nonce is empty, too long or has characters "
                      "that nonces do not have; pass what the server sent in DPoP-Nonce");
  }
  return {};
}

std::string proof_header(const P256Coordinates& point) {
  return base64url_encode(
      as_bytes(R"({"typ":"dpop+jwt","alg":"ES256","jwk":)" + public_jwk_text(point) + '}'));
}

void write_claims(std::string& out, const ProofInput& input, const ProofId& id,
                  const TokenHash* ath) {
  std::array<char, base64url_size(ProofId{}.size())> jti{};
  base64url_encode_to(id, jti.data());
  std::array<char, 24> iat{};
  const auto seconds =
      std::chrono::floor<std::chrono::seconds>(input.iat).time_since_epoch().count();
  auto* const iat_end = std::to_chars(iat.data(), iat.data() + iat.size(), seconds).ptr;

  // Nothing needs an escape: check_proof_input has refused what would.
  out.assign(R"({"jti":")").append(jti.data(), jti.size());
  out.append(R"(","htm":")").append(input.htm);
  out.append(R"(","htu":")").append(input.htu);
  out.append(R"(","iat":)").append(iat.data(), iat_end);
  if (ath != nullptr) out.append(R"(,"ath":")").append(ath->data(), ath->size()).append(1, '"');
  if (input.nonce) out.append(R"(,"nonce":")").append(*input.nonce).append(1, '"');
  out.append(1, '}');
}

bool raw_signature(std::span<const unsigned char> der, RawSignature& out) noexcept {
  // Two integers of 33 bytes at most: the length always fits one byte.
  if (der.size() < 8 || der[0] != 0x30 || der[1] != der.size() - 2) return false;
  const auto rest = take_integer(der.subspan(2), out.data());
  if (rest.empty()) return false;
  const auto* const end = der.data() + der.size();
  const auto after = take_integer(rest, out.data() + 32);
  return after.data() == end && after.empty();
}

}  // namespace latchkey
