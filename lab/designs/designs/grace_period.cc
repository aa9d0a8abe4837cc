// Today's rule for drivers, kept: between the signal and the destruction of its data the issuer
// waits for a grace period.
#include "lab/designs/model/detached_fence.h"
#include "lab/designs/model/kernel_containers.h"

namespace ufence::lab {
namespace {

struct grace_period : detached_fence {
  using detached_fence::detached_fence;

  void wait_quiesced() override {
    pay(cost::grace_period);
    kernel_rcu::synchronize();
  }
  void clean_up() override {
    wait_quiesced();
    detached_fence::clean_up();
  }
};

}  // namespace

extern const design design_grace_period{
    .name = "grace-period",
    .summary = "kernel-7.1-fixed; the issuer waits a grace period before it cleans up",
    .column = 70,
    .make = [](const fence_options& o, unsigned) -> model_fence* { return new grace_period(o); },
    .make_array = make_kernel_array,
    .make_slot = make_kernel_slot,
    .make_syncobj = make_kernel_syncobj,
    .make_forwarder = make_kernel_forwarder,
};

}  // namespace ufence::lab
