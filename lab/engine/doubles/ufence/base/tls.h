// Double of ufence/base/tls.h for the lab: one value for each model thread.
#pragma once

#include <new>

#include "lab/engine/hooks.h"

namespace ufence {

template <class Tag, class T>
class per_thread {
 public:
  [[nodiscard]] static T& get() noexcept {
    void* at = lab::hooks::thread_local_data(&outside_, sizeof(T),
                                             [](void* memory) { ::new (memory) T{}; });
    return at == nullptr ? outside_ : *static_cast<T*>(at);
  }

 private:
  static inline constinit thread_local T outside_{};
};

}  // namespace ufence
