// The RFC of June 2026 "fix races of fence callbacks versus destructors by locking": every op runs
// under the fence lock, so that after signal() none runs. Only the look at an already signaled
// fence takes no lock.
#include "lab/designs/model/detached_fence.h"
#include "lab/designs/model/kernel_containers.h"

namespace ufence::lab {
namespace {

struct locked_callbacks : detached_fence {
  using detached_fence::detached_fence;

 protected:
  driver* enter_op() override {
    lock_->lock();
    pay(cost::lock_over_driver_code);
    return ops_.load(mo::relaxed);
  }
  void leave_op() override { lock_->unlock(); }
  driver* enter_op_locked() override { return ops_.load(mo::relaxed); }
  void leave_op_locked() override {}
};

}  // namespace

extern const design design_locked_callbacks{
    .name = "locked-callbacks",
    .summary = "the fence lock is held over every op",
    .column = 50,
    .make = [](const fence_options& o, unsigned) -> model_fence* {
      return new locked_callbacks(o);
    },
    .make_array = make_kernel_array,
    .make_slot = make_kernel_slot,
    .make_syncobj = make_kernel_syncobj,
    .make_forwarder = make_kernel_forwarder,
};

}  // namespace ufence::lab
