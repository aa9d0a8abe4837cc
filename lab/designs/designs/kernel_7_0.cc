// Linux 7.0: an issuer's names are protected by RCU, nothing else is. A fence uses its issuer's ops
// for ever.
#include "lab/designs/model/kernel_containers.h"
#include "lab/designs/model/kernel_fence.h"

namespace ufence::lab {

extern const design design_kernel_7_0{
    .name = "kernel-7.0",
    .summary = "only names are protected by RCU; ops are never detached",
    .column = 10,
    .make = [](const fence_options& o, unsigned) -> model_fence* { return new kernel_fence(o); },
    .make_array = make_kernel_array,
    .make_slot = make_kernel_slot,
    .make_syncobj = make_kernel_syncobj,
    .make_forwarder = make_kernel_forwarder,
};

}  // namespace ufence::lab
