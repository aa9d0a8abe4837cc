// The kernel since 7.1: ops are read inside RCU sections, and are NULL once the fence is signaled.
#pragma once

#include "lab/designs/model/kernel_fence.h"

namespace ufence::lab {

class detached_fence : public kernel_fence {
 public:
  using kernel_fence::kernel_fence;

  /// By the ops that were loaded (the fix of June 2026).
  void read_names() override {
    driver* ops = enter_op();
    if (ops != nullptr) ops->read_name();
    leave_op();
  }

 protected:
  driver* enter_op() override {
    kernel_rcu::read_lock();
    return ops_.load(mo::relaxed);
  }
  void leave_op() override { kernel_rcu::read_unlock(); }
  // A plain store: no release.
  void detach() override { ops_.store(nullptr, mo::relaxed); }
};

}  // namespace ufence::lab
