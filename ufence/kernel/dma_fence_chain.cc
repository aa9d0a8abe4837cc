#include "ufence/kernel/linux/dma-fence-chain.h"

#include <algorithm>
#include <cstring>

#include "ufence/base/alloc.h"
#include "ufence/fence/thread_state.h"
#include "ufence/kernel/kernel_fence.h"
#include "ufence/kernel/visit.h"
#include "ufence/rcu/rcu.h"

using ufence::as_atomic;
using ufence::kernel_fence;
namespace mo = ufence::mo;

namespace {

const char* get_driver_name(dma_fence*) { return "dma_fence_chain"; }
const char* get_timeline_name(dma_fence*) { return "unbound"; }

// With a reference, or null.
dma_fence* previous_of(dma_fence_chain& chain) noexcept {
  const ufence::rcu::read_section section;
  return dma_fence_get_rcu_safe(&chain.prev);
}

[[nodiscard]] bool watch_next(dma_fence* f);

void go_on(ufence::thread_work& work) noexcept {
  dma_fence* f =
      &ufence::around<dma_fence_chain>(work, offsetof(dma_fence_chain, ufence_work)).base;
  // A thread that polled it meanwhile has signaled it already.
  if (!watch_next(f)) kernel_fence::of(*f).signal(kernel_fence::at_once, false);
  dma_fence_put(f);
}

void on_contained(dma_fence* contained, dma_fence_cb* cb) {
  auto* chain = reinterpret_cast<dma_fence_chain*>(reinterpret_cast<char*>(cb) -
                                                   offsetof(dma_fence_chain, cb));
  // With the callback's reference. Once: no other callback is on its way before this has run.
  ufence::queue_work(chain->ufence_work, &go_on);
  dma_fence_put(contained);
}

// Puts the callback, which owns a reference to the chain, on a contained fence that is pending.
// False: there is none.
bool watch_next(dma_fence* f) {
  dma_fence_chain* chain = to_dma_fence_chain(dma_fence_get(f));
  dma_fence* at = nullptr;
  dma_fence_chain_for_each(at, f) {
    dma_fence* contained = dma_fence_get(dma_fence_chain_contained(at));
    const int refused = dma_fence_add_callback(contained, &chain->cb, &on_contained);
    if (refused == 0) {
      dma_fence_put(at);
      return true;
    }
    dma_fence_put(contained);
    if (refused == -EOWNERDEAD) {
      // Inherited through fork(): nothing more will come.
      kernel_fence::of(*f).note_error(0, -EOWNERDEAD);
      dma_fence_put(at);
      break;
    }
  }
  dma_fence_put(f);
  return false;
}

bool is_signaled(dma_fence* f) {
  ufence::container_visit visit;
  dma_fence* at = nullptr;
  dma_fence_chain_for_each(at, f) {
    if (!visit.poll(dma_fence_chain_contained(at))) {
      dma_fence_put(at);
      return false;
    }
  }
  return true;
}

// Nodes before this one that have no other reference end here, one after the other, not one inside
// of the other.
void release(dma_fence* f) {
  dma_fence_chain& chain = *to_dma_fence_chain(f);
  for (;;) {
    // relaxed, as below: nobody else has a reference to this node, or to the one before
    dma_fence* before = as_atomic(chain.prev).load(mo::relaxed);
    dma_fence_chain* node = to_dma_fence_chain(before);
    if (node == nullptr || kref_read(&before->refcount) > 1) break;
    as_atomic(chain.prev).store(as_atomic(node->prev).exchange(nullptr, mo::relaxed), mo::relaxed);
    dma_fence_put(before);
  }
  dma_fence_put(as_atomic(chain.prev).load(mo::relaxed));
  dma_fence_put(chain.fence);
  dma_fence_free(f);
}

void set_deadline(dma_fence* f, ktime_t deadline) {
  ufence::container_visit visit;
  dma_fence* at = nullptr;
  dma_fence_chain_for_each(at, f) {
    if (at != f && !visit.tells_on_from(at)) return dma_fence_put(at);
    visit.set_deadline(dma_fence_chain_contained(at), deadline);
  }
}

}  // namespace

const dma_fence_ops dma_fence_chain_ops{.get_driver_name = &get_driver_name,
                                        .get_timeline_name = &get_timeline_name,
                                        .enable_signaling = &watch_next,
                                        .signaled = &is_signaled,
                                        .wait = nullptr,
                                        .release = &release,
                                        .set_deadline = &set_deadline};

dma_fence_chain* dma_fence_chain_alloc() {
  ufence::rcu::reclaim();
  void* memory = ufence::allocate(sizeof(dma_fence_chain));
  if (memory != nullptr) std::memset(memory, 0, sizeof(dma_fence_chain));
  return static_cast<dma_fence_chain*>(memory);
}

void dma_fence_chain_free(dma_fence_chain* chain) { ufence::deallocate(chain); }

void dma_fence_chain_init(dma_fence_chain* chain, dma_fence* prev, dma_fence* fence, u64 seqno) {
  dma_fence_chain* before = to_dma_fence_chain(prev);
  u64 context = 0;
  chain->prev_seqno = 0;
  if (before != nullptr && __dma_fence_is_later(prev, seqno, prev->seqno)) {
    context = prev->context;
    chain->prev_seqno = prev->seqno;
  } else {
    context = dma_fence_context_alloc(1);
    if (before != nullptr) seqno = std::max(prev->seqno, seqno);
  }
  chain->prev = prev;
  chain->fence = fence;
  spin_lock_init(&chain->base.inline_lock);
  kernel_fence::init(
      chain->base, &dma_fence_chain_ops, context, seqno,
      ufence::flag(DMA_FENCE_FLAG_INLINE_LOCK_BIT) | ufence::flag(DMA_FENCE_FLAG_SEQNO64_BIT),
      nullptr);
  if (dma_fence_is_chain(fence)) ufence::warn("a chain contains a chain", &chain->base);
}

namespace {

template <class IsSignaled>
dma_fence* walk(dma_fence* fence, IsSignaled is_signaled) {
  dma_fence_chain* chain = to_dma_fence_chain(fence);
  dma_fence* before = nullptr;
  while (chain != nullptr && (before = previous_of(*chain)) != nullptr) {
    if (!is_signaled(dma_fence_chain_contained(before))) break;
    dma_fence_chain* node = to_dma_fence_chain(before);
    dma_fence* further = node != nullptr ? previous_of(*node) : nullptr;
    dma_fence* expected = before;
    // [KERNEL.11] release: that the node between them is done, for a thread that goes around it; pairs with
    // dma_fence_get_rcu_safe()
    if (as_atomic(chain->prev).compare_exchange(expected, further, mo::release, mo::relaxed)) {
      dma_fence_put(before);  // the link's until now
    } else {
      dma_fence_put(further);
    }
    dma_fence_put(before);
  }
  dma_fence_put(fence);
  return before;
}

}  // namespace

dma_fence* dma_fence_chain_walk(dma_fence* fence) { return walk(fence, &dma_fence_is_signaled); }

dma_fence* ufence::walk_without_polling(dma_fence* fence) noexcept {
  return walk(fence, &dma_fence_test_signaled_flag);
}

int dma_fence_chain_find_seqno(dma_fence** fencep, u64 seqno) {
  if (seqno == 0) return 0;
  const dma_fence_chain* last = to_dma_fence_chain(*fencep);
  if (last == nullptr || last->base.seqno < seqno) return -EINVAL;
  const u64 context = last->base.context;
  dma_fence* at = nullptr;
  dma_fence_chain_for_each(at, *fencep) {
    const dma_fence_chain* node = to_dma_fence_chain(at);
    if (node == nullptr || at->context != context || node->prev_seqno < seqno) break;
  }
  dma_fence_put(*fencep);
  *fencep = at;
  return 0;
}
