#include "ufence/kernel/linux/dma-fence.h"

#include <cstddef>
#include <cstdio>

#include "ufence/base/alloc.h"
#include "ufence/base/check.h"
#include "ufence/base/futex.h"
#include "ufence/fence/signalling.h"
#include "ufence/kernel/kernel_fence.h"
#include "ufence/rcu/rcu.h"

using ufence::as_atomic;
using ufence::kernel_fence;
namespace mo = ufence::mo;

void ufence_dma_fence_init(dma_fence* fence, const dma_fence_ops* ops, u64 context, u64 seqno,
                           unsigned long flags, const ufence_fence_services* services) {
  // The kernel's BUG_ON(): there is no way to refuse.
  UFENCE_CHECK(ops != nullptr && ops->get_driver_name != nullptr &&
               ops->get_timeline_name != nullptr && "a fence has ops with both names");
  ufence::rcu::reclaim();
  kernel_fence::init(*fence, ops, context, seqno, flags, services);
}

dma_fence* dma_fence_get(dma_fence* fence) {
  if (fence != nullptr) kernel_fence::of(*fence).get();
  return fence;
}

void dma_fence_put(dma_fence* fence) {
  if (fence != nullptr) kernel_fence::of(*fence).put();
}

dma_fence* dma_fence_get_rcu(dma_fence* fence) {
  return kernel_fence::of(*fence).try_get() ? fence : nullptr;
}

dma_fence* dma_fence_get_rcu_safe(dma_fence** fencep) {
  ufence::fence* found =
      ufence::fence::get_rcu(reinterpret_cast<const ufence::atomic<ufence::fence*>&>(*fencep))
          .release();
  return reinterpret_cast<dma_fence*>(found);
}

void dma_fence_release(kref* count) {
  auto* fence =
      reinterpret_cast<dma_fence*>(reinterpret_cast<char*>(count) - offsetof(dma_fence, refcount));
  kernel_fence::end(kernel_fence::of(*fence));
}

void dma_fence_free(dma_fence* fence) {
  static_assert(offsetof(dma_fence, rcu) == offsetof(dma_fence, timestamp));
  auto& node = reinterpret_cast<ufence::rcu::deferred&>(fence->rcu);
  // Of a container it is a part of the block.
  ufence::rcu::defer_memory(node, sizeof(dma_fence), [](ufence::rcu::deferred* freed) noexcept {
    auto* f =
        reinterpret_cast<dma_fence*>(reinterpret_cast<char*>(freed) - offsetof(dma_fence, rcu));
    if (f->ufence_services != nullptr) {
      f->ufence_services->free(f);
    } else {
      ufence::deallocate(f);
    }
  });
}

u64 dma_fence_context_alloc(unsigned int num) {
  if (num == 0) ufence::warn("dma_fence_context_alloc(0)");
  return ufence::fence::allocate_contexts(num);
}

namespace {

struct stub_fence : dma_fence {
  stub_fence() noexcept { kernel_fence::init_signaled(*this, ufence::now_ns()); }
};

}  // namespace

dma_fence* dma_fence_get_stub() {
  static stub_fence stub;
  return dma_fence_get(&stub);
}

dma_fence* dma_fence_allocate_private_stub(ktime_t timestamp) {
  ufence::rcu::reclaim();
  auto* fence = static_cast<dma_fence*>(ufence::allocate(sizeof(dma_fence)));
  if (fence != nullptr) kernel_fence::init_signaled(*fence, timestamp);
  return fence;
}

void ufence_dma_fence_lock(dma_fence* fence) { kernel_fence::of(*fence).lock_settled(); }
void ufence_dma_fence_unlock(dma_fence* fence) { kernel_fence::of(*fence).unlock_and_settle(); }

namespace {

// True: it was signaled before.
bool signal(dma_fence* fence, ktime_t timestamp, bool lock_is_held) {
  if (fence == nullptr) {
    ufence::warn("a null fence is signaled");
    return true;
  }
  return !kernel_fence::of(*fence).signal(timestamp, lock_is_held);
}

}  // namespace

void dma_fence_signal(dma_fence* fence) { signal(fence, kernel_fence::at_once, false); }
void dma_fence_signal_locked(dma_fence* fence) { signal(fence, kernel_fence::at_once, true); }
void dma_fence_signal_timestamp(dma_fence* fence, ktime_t timestamp) {
  signal(fence, timestamp, false);
}
void dma_fence_signal_timestamp_locked(dma_fence* fence, ktime_t timestamp) {
  signal(fence, timestamp, true);
}
bool dma_fence_check_and_signal(dma_fence* fence) { return signal(fence, kernel_fence::at_once, false); }
bool dma_fence_check_and_signal_locked(dma_fence* fence) { return signal(fence, kernel_fence::at_once, true); }

void dma_fence_set_error(dma_fence* fence, int error) {
  if (dma_fence_test_signaled_flag(fence)) {
    ufence::warn("an error is set after the signal; it stays as it was", fence);
    return;
  }
  if (error >= 0 || error < -MAX_ERRNO) {
    ufence::warn("an error must be a negative errno", fence);
    if (error != 0) error = -EINVAL;
  }
  ufence::as_cell(fence->error).set(error);
}

bool ufence_dma_fence_poll(dma_fence* fence) { return kernel_fence::of(*fence).poll_now(false); }
bool ufence_dma_fence_poll_locked(dma_fence* fence) {
  return kernel_fence::of(*fence).poll_now(true);
}

ktime_t dma_fence_timestamp(dma_fence* fence) {
  if (!dma_fence_test_signaled_flag(fence)) {
    ufence::warn("the timestamp of a pending fence", fence);
    return ktime_get();
  }
  return ufence::as_cell(fence->timestamp).get();
}

bool dma_fence_begin_signalling() {
  ufence::detail::begin_signalling();
  return false;
}
void dma_fence_end_signalling(bool) { ufence::detail::end_signalling(); }
void __dma_fence_might_wait() {
  ufence::detail::check_not_signalling("a thread may wait for a fence on the signalling path");
}

int dma_fence_add_callback(dma_fence* fence, dma_fence_cb* cb, dma_fence_func_t func) {
  if (fence == nullptr || cb == nullptr || func == nullptr) {
    ufence::warn("dma_fence_add_callback() without a fence or a function", fence);
    return -EINVAL;
  }
  return kernel_fence::of(*fence).add(*cb, func);
}

bool dma_fence_remove_callback(dma_fence* fence, dma_fence_cb* cb) {
  return kernel_fence::of(*fence).remove(*cb);
}

bool ufence_dma_fence_has_callbacks(dma_fence* fence) {
  return kernel_fence::of(*fence).had_callbacks();
}

void dma_fence_enable_sw_signaling(dma_fence* fence) {
  kernel_fence::of(*fence).enable();
}

signed long dma_fence_default_wait(dma_fence* fence, bool intr, signed long timeout) {
  return kernel_fence::of(*fence).wait_jiffies(intr, timeout);
}

signed long dma_fence_wait_timeout(dma_fence* fence, bool intr, signed long timeout) {
  if (timeout < 0) {
    ufence::warn("a negative timeout", fence);
    return -EINVAL;
  }
  __dma_fence_might_wait();
  kernel_fence& f = kernel_fence::of(*fence);
  f.enable();
  const dma_fence_ops* ops = f.attached_ops();
  return ops != nullptr && ops->wait != nullptr ? ops->wait(fence, intr, timeout)
                                                : f.wait_jiffies(intr, timeout);
}

namespace {

// Wakes the thread that waits for any of several fences.
struct waking_cb : dma_fence_cb {
  ufence::atomic<std::uint32_t>* woken;
  static void run(dma_fence*, dma_fence_cb* cb) {
    ufence::atomic<std::uint32_t>& word = *static_cast<waking_cb*>(cb)->woken;
    // relaxed: the waiter looks at the fences themselves
    word.store(1, mo::relaxed);
    ufence::futex_wake_all(word);
  }
};

// The first that is signaled, or `count`.
u32 first_signaled(dma_fence** fences, u32 count) noexcept {
  u32 i = 0;
  while (i < count && !dma_fence_test_signaled_flag(fences[i])) ++i;
  return i;
}

// The result of dma_fence_wait_any_timeout(), and the index of the fence, or `count`.
struct any_found {
  signed long left;
  u32 index;
};

any_found wait_for_any(dma_fence** fences, u32 count, waking_cb* cbs, bool intr,
                       signed long timeout) noexcept {
  ufence::atomic<std::uint32_t> woken{0};
  const std::int64_t deadline_ns = ufence::deadline_of(timeout);
  any_found found{.left = timeout, .index = count};
  u32 added = 0;
  for (; added < count; ++added) {
    cbs[added].woken = &woken;
    const int failed = dma_fence_add_callback(fences[added], &cbs[added], &waking_cb::run);
    if (failed == 0) continue;
    found = failed == -ENOENT ? any_found{.left = timeout, .index = added}
                              : any_found{.left = failed, .index = count};
    break;
  }
  if (added == count) {
    int how = 0;
    while ((found.index = first_signaled(fences, count)) == count && how == 0) {
      how = intr ? ufence::futex_wait_interruptible(woken, 0, deadline_ns)
                 : ufence::futex_wait(woken, 0, deadline_ns);
    }
    if (found.index != count) {
      found.left = ufence::jiffies_left(timeout, deadline_ns);
    } else {
      found.left = how == -EINTR ? -ERESTARTSYS : 0;
    }
  }
  while (added != 0) {
    --added;
    dma_fence_remove_callback(fences[added], &cbs[added]);
  }
  return found;
}

}  // namespace

signed long dma_fence_wait_any_timeout(dma_fence** fences, u32 count, bool intr,
                                       signed long timeout, u32* idx) {
  if (fences == nullptr || count == 0 || timeout < 0) {
    ufence::warn("dma_fence_wait_any_timeout() without fences, or with a negative timeout");
    return -EINVAL;
  }
  if (timeout == 0) {
    for (u32 i = 0; i < count; ++i) {
      if (!dma_fence_is_signaled(fences[i])) continue;
      if (idx != nullptr) *idx = i;
      return 1;
    }
    return 0;
  }
  __dma_fence_might_wait();
  auto* cbs = static_cast<waking_cb*>(ufence::allocate(count * sizeof(waking_cb)));
  if (cbs == nullptr) return -ENOMEM;
  const any_found found = wait_for_any(fences, count, cbs, intr, timeout);
  ufence::deallocate(cbs);
  if (found.index != count && idx != nullptr) *idx = found.index;
  return found.left;
}

void dma_fence_set_deadline(dma_fence* fence, ktime_t deadline) {
  kernel_fence::of(*fence).set_deadline_polled(deadline);
}

const char* dma_fence_driver_name(dma_fence* fence) {
  const dma_fence_ops* ops = kernel_fence::of(*fence).naming_ops();
  return ops != nullptr ? ops->get_driver_name(fence) : "detached-driver";
}

const char* dma_fence_timeline_name(dma_fence* fence) {
  const dma_fence_ops* ops = kernel_fence::of(*fence).naming_ops();
  return ops != nullptr ? ops->get_timeline_name(fence) : "signaled-timeline";
}

void ufence_dma_fence_describe(dma_fence* fence, char* line, size_t size) {
  const bool is_signaled = dma_fence_is_signaled(fence);
  const ufence::op_section section(*fence);
  std::snprintf(line, size, "%llu:%llu %s %s %ssignalled\n",
                static_cast<unsigned long long>(fence->context),
                static_cast<unsigned long long>(fence->seqno),
                is_signaled ? "" : dma_fence_timeline_name(fence),
                is_signaled ? "" : dma_fence_driver_name(fence), is_signaled ? "" : "un");
}

bool __dma_fence_is_later(dma_fence* fence, u64 a, u64 b) {
  if (test_bit(DMA_FENCE_FLAG_SEQNO64_BIT, &fence->flags)) return a > b;
  return static_cast<s32>(static_cast<u32>(a) - static_cast<u32>(b)) > 0;
}

bool dma_fence_is_later(dma_fence* f1, dma_fence* f2) {
  if (f1->context == f2->context) return __dma_fence_is_later(f1, f1->seqno, f2->seqno);
  ufence::warn("fences of different contexts have no order", f1);
  return false;
}

dma_fence* dma_fence_later(dma_fence* f1, dma_fence* f2) {
  if (f1->context != f2->context) {
    ufence::warn("fences of different contexts have no order", f1);
    return nullptr;
  }
  dma_fence* later = dma_fence_is_later(f1, f2) ? f1 : f2;
  return dma_fence_is_signaled(later) ? nullptr : later;
}
