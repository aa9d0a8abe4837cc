// The definition that stands before a function of the C library, and the function that the program would have
// called without it.
#pragma once

#include <dlfcn.h>

#include "ufence/base/atomic.h"

/// Begins the definition of a function that programs call in place of the C library's.
#define UFENCE_REPLACES extern "C" [[gnu::visibility("default")]]

namespace ufence::uapi {

template <class F>
class next_function {
 public:
  constexpr explicit next_function(const char* name) noexcept : name_(name) {}

  /// Never null: the C library has them all.
  [[nodiscard]] F* get() noexcept {
    // relaxed: the address is all there is to it, and every thread finds the same
    void* f = found_.load(mo::relaxed);
    if (f == nullptr) {
      f = ::dlsym(RTLD_NEXT, name_);
      found_.store(f, mo::relaxed);  // relaxed: as above
    }
    return reinterpret_cast<F*>(f);
  }

 private:
  const char* const name_;
  atomic<void*> found_{nullptr};
};

}  // namespace ufence::uapi
