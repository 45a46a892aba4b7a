// SPDX-License-Identifier: MIT
module latchkey.dpop.prover;

namespace latchkey {

DpopProver::~DpopProver() {}

}  // namespace latchkey
