// Linux 7.1 with the fix of June 2026: names look at the ops that they have loaded, not at the
// flag.
#include "lab/designs/model/detached_fence.h"
#include "lab/designs/model/kernel_containers.h"

namespace ufence::lab {

extern const design design_kernel_7_1_fixed{
    .name = "kernel-7.1-fixed",
    .summary = "ops are detached by the signal; names look at the ops",
    .column = 30,
    .make = [](const fence_options& o, unsigned) -> model_fence* { return new detached_fence(o); },
    .make_array = make_kernel_array,
    .make_slot = make_kernel_slot,
    .make_syncobj = make_kernel_syncobj,
    .make_forwarder = make_kernel_forwarder,
};

}  // namespace ufence::lab
