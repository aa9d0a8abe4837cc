#include "ufence/kernel/linux/dma-fence-unwrap.h"

#include <algorithm>
#include <cstdlib>
#include <span>
#include <utility>

#include "ufence/base/alloc.h"
#include "ufence/kernel/kernel_fence.h"
#include "ufence/kernel/linux/dma-fence-array.h"
#include "ufence/kernel/linux/dma-fence-chain.h"
#include "ufence/rcu/rcu.h"

namespace {

dma_fence* first_of_node(dma_fence_unwrap& cursor) noexcept {
  cursor.array = dma_fence_chain_contained(cursor.chain);
  cursor.index = 0;
  return dma_fence_array_first(cursor.array);
}

}  // namespace

dma_fence* dma_fence_unwrap_first(dma_fence* head, dma_fence_unwrap* cursor) {
  cursor->chain = dma_fence_get(head);
  return first_of_node(*cursor);
}

dma_fence* dma_fence_unwrap_next(dma_fence_unwrap* cursor) {
  if (cursor->chain == nullptr) return nullptr;
  dma_fence* found = dma_fence_array_next(cursor->array, ++cursor->index);
  if (found != nullptr) return found;
  cursor->chain = dma_fence_chain_walk(cursor->chain);
  return first_of_node(*cursor);
}

size_t dma_fence_dedup_array(dma_fence** fences, size_t num_fences) {
  if (num_fences == 0) return 0;
  const std::span all(fences, num_fences);
  // Seqnos that wrap have no order that a sort could use.
  std::ranges::sort(all, {}, &dma_fence::context);
  size_t kept = 1;
  for (dma_fence* f : all.subspan(1)) {
    dma_fence*& last = all[kept - 1];
    if (f->context != last->context) {
      all[kept++] = f;
      continue;
    }
    if (dma_fence_is_later(f, last)) std::swap(f, last);
    dma_fence_put(f);
  }
  return kept;
}

dma_fence* __dma_fence_unwrap_merge(size_t num_fences, dma_fence** fences,
                                    dma_fence_unwrap* cursors) {
  size_t pending = 0;
  ktime_t newest = 0;
  dma_fence* leaf = nullptr;
  for (size_t i = 0; i < num_fences; ++i) {
    dma_fence_unwrap_for_each(leaf, &cursors[i], fences[i]) {
      if (dma_fence_is_signaled(leaf)) {
        newest = std::max(newest, dma_fence_timestamp(leaf));
      } else {
        ++pending;
      }
    }
  }
  if (pending == 0) return dma_fence_allocate_private_stub(newest);

  ufence::rcu::reclaim();
  auto** leaves = static_cast<dma_fence**>(ufence::allocate(pending * sizeof(dma_fence*)));
  if (leaves == nullptr) return nullptr;
  size_t n = 0;
  for (size_t i = 0; i < num_fences; ++i) {
    dma_fence_unwrap_for_each(leaf, &cursors[i], fences[i]) {
      // Pending ones only get fewer.
      if (!dma_fence_is_signaled(leaf)) {
        leaves[n++] = dma_fence_get(leaf);
      } else {
        newest = std::max(newest, dma_fence_timestamp(leaf));
      }
    }
  }
  const size_t kept = dma_fence_dedup_array(leaves, n);
  if (kept > 1) {
    dma_fence_array* array =
        dma_fence_array_create(static_cast<int>(kept), leaves, dma_fence_context_alloc(1), 1, false);
    if (array != nullptr) return &array->base;
    for (size_t i = 0; i < kept; ++i) dma_fence_put(leaves[i]);
    std::free(leaves);
    return nullptr;
  }
  dma_fence* only = kept == 1 ? leaves[0] : dma_fence_allocate_private_stub(newest);
  std::free(leaves);
  return only;
}
