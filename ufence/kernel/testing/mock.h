/// Fences of the kernel's interface for tests in C++.
#pragma once

#include <cstdlib>

#include "ufence/kernel/interop.h"
#include "ufence/kernel/linux/dma-fence.h"

namespace ufence::testing {

inline const char* name(dma_fence*) { return "mock"; }

inline constexpr dma_fence_ops mock_ops{name, name, nullptr, nullptr, nullptr, nullptr, nullptr};

// A kernel-style fence with one reference, that of the test.
class mock {
 public:
  explicit mock(spinlock_t* lock = nullptr)
      : fence_(static_cast<dma_fence*>(std::calloc(1, sizeof(dma_fence)))) {
    dma_fence_init(fence_, &mock_ops, lock, dma_fence_context_alloc(1), 1);
  }
  ~mock() {
    dma_fence_signal(fence_);
    dma_fence_put(fence_);
    rcu_barrier();
  }
  mock(const mock&) = delete;
  mock& operator=(const mock&) = delete;
  dma_fence* operator->() const { return fence_; }
  dma_fence* get() const { return fence_; }
  fence_ref native() const { return to_fence(*fence_); }

 private:
  dma_fence* fence_;
};

struct counted_cb : dma_fence_cb {
  int runs = 0;
  int status = 0;
  static void run(dma_fence* f, dma_fence_cb* cb) {
    auto& self = *static_cast<counted_cb*>(cb);
    ++self.runs;
    self.status = dma_fence_get_status_locked(f);
  }
};

}  // namespace ufence::testing
