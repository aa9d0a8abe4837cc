// Between the kernel's interface and ufence's own. A struct dma_fence is a fence; a fence becomes a
// struct dma_fence by one that stands for it.
#pragma once

#include "ufence/base/api.h"
#include "ufence/base/result.h"
#include "ufence/fence/fence.h"

struct dma_fence;
struct drm_file;

namespace ufence {

/// The fence that a struct dma_fence is.
/// Ownership: takes a reference of its own.
[[nodiscard]] UFENCE_API fence_ref to_fence(dma_fence& f) noexcept;

/// A fence with the kernel's interface: itself if it is one, else one that stands for it, with its
/// context, seqno and copies of its names (up to 63 characters). Each call makes another one. Of a
/// container of ufence's own the kernel's interface sees one fence; the other way leaves and
/// merge() look into arrays and chains of the kernel's interface.
/// @return  the caller's reference; null: no memory
/// Allocates: yes. Blocks: never.
[[nodiscard]] UFENCE_API dma_fence* to_dma_fence(const fence_ref& f) noexcept;

class syncobj_table;

/// For drm_sched_job_add_syncobj_dependency(): what a driver takes for its client's file. The table
/// stays in place as long as that is called.
[[nodiscard]] inline drm_file* to_drm_file(syncobj_table& table) noexcept {
  return reinterpret_cast<drm_file*>(&table);
}

}  // namespace ufence
