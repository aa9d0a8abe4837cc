// The objects that the kernel builds from fences, as far as the hazards need it: dma_fence_array, a slot of a
// dma_resv, drm_syncobj, the scheduler's deadline. The orders are the kernel's; a design that
// argues with barriers may leave out each of them.
#pragma once

#include "lab/designs/model/design.h"

namespace ufence::lab {

struct container_orders {
  std::memory_order array_read = mo::acquire;
  std::memory_order array_decrement = mo::acq_rel;
  std::memory_order count_publish = mo::release;
  std::memory_order count_read = mo::acquire;
  bool full_fence_for_deadlines = false;
};

[[nodiscard]] std::unique_ptr<model_array> make_array_of(model_fence& a, model_fence& b,
                                                         const container_orders& with);
/// Fences that are freed after a grace period.
[[nodiscard]] std::unique_ptr<model_slot> make_slot_of(const container_orders& with);
[[nodiscard]] std::unique_ptr<model_syncobj> make_syncobj_of();
[[nodiscard]] std::unique_ptr<model_forwarder> make_forwarder_of(const container_orders& with);

// As the kernel has them; for design's functions.
[[nodiscard]] std::unique_ptr<model_array> make_kernel_array(model_fence& a, model_fence& b,
                                                             unsigned without);
[[nodiscard]] std::unique_ptr<model_slot> make_kernel_slot(unsigned without);
[[nodiscard]] std::unique_ptr<model_syncobj> make_kernel_syncobj(unsigned without);
[[nodiscard]] std::unique_ptr<model_forwarder> make_kernel_forwarder(unsigned without);

}  // namespace ufence::lab
