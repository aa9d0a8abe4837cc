// Linux 7.1 as it was merged: ops are detached by the signal; names look at the flag before they
// use the ops that they have loaded.
#include "lab/designs/model/detached_fence.h"
#include "lab/designs/model/kernel_containers.h"

namespace ufence::lab {
namespace {

struct kernel_7_1 : detached_fence {
  using detached_fence::detached_fence;

  void read_names() override {
    driver* ops = enter_op();
    if (!test(signaled_bit)) called(ops).read_name();
    leave_op();
  }
};

}  // namespace

extern const design design_kernel_7_1{
    .name = "kernel-7.1",
    .summary = "ops are detached by the signal; names look at the flag",
    .column = 20,
    .make = [](const fence_options& o, unsigned) -> model_fence* { return new kernel_7_1(o); },
    .make_array = make_kernel_array,
    .make_slot = make_kernel_slot,
    .make_syncobj = make_kernel_syncobj,
    .make_forwarder = make_kernel_forwarder,
};

}  // namespace ufence::lab
