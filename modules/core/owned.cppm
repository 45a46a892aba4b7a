// SPDX-License-Identifier: MIT
module;
#include <memory>
export module latchkey.core.owned;

// Objects of C libraries that free themselves.

namespace latchkey {

template <auto free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    free(object);
  }
};

/// A unique_ptr that frees with the library's own function: Owned<EVP_PKEY, EVP_PKEY_free>.
export template <class T, auto free>
using Owned = std::unique_ptr<T, Freed<free>>;

}  // namespace latchkey
