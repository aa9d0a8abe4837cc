#include "ufence/kernel/linux/dma-fence.h"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "ufence/base/alloc.h"
#include "ufence/base/check.h"
#include "ufence/fence/report.h"
#include "ufence/fence/signalling.h"
#include "ufence/fence/thread_state.h"
#include "ufence/fence/wait.h"
#include "ufence/kernel/containers.h"
#include "ufence/kernel/kernel_fence.h"
#include "ufence/kernel/linux/dma-fence-array.h"
#include "ufence/kernel/linux/dma-fence-chain.h"
#include "ufence/rcu/rcu.h"

// What a caller of C can see of the fence lies where the fence has it.
static_assert(offsetof(dma_fence, ufence_ops) == sizeof(ufence::fence));
static_assert(offsetof(dma_fence, ops) == sizeof(ufence::legacy_fence));
static_assert(sizeof(ufence::callback) <= sizeof(dma_fence_cb::ufence_node));
static_assert(sizeof(rcu_head) == sizeof(ufence::rcu::deferred));

namespace ufence {
namespace {

kernel_fence& fence_at(void* data) noexcept {
  return *static_cast<kernel_fence*>(static_cast<legacy_fence*>(data));
}

// --- Ops as the library calls them: RCU section, lock and results as the kernel has them ---

void op_lock(void* data) noexcept { fence_at(data).lock_foreign(); }
void op_unlock(void* data) noexcept { fence_at(data).unlock_foreign(); }

int op_enable(void* data) noexcept {
  kernel_fence& f = fence_at(data);
  constexpr unsigned long enabled = flag(DMA_FENCE_FLAG_ENABLE_SIGNAL_BIT);
  // relaxed: the lock is held
  if ((as_atomic(f.c().flags).fetch_or(enabled, mo::relaxed) & enabled) != 0) return 0;
  bool is_complete = false;
  {
    const rcu::read_section section;
    const dma_fence_ops* ops = f.attached_ops();
    is_complete = ops != nullptr && ops->enable_signaling != nullptr &&
                  !ops->enable_signaling(&f.c());
  }
  if (is_complete) f.signal(0, true);
  return 0;
}

int op_poll(void* data) noexcept {
  static_cast<void>(fence_at(data).poll_now(false));
  return 0;
}

void op_set_deadline(void* data, std::int64_t deadline_ns) noexcept {
  dma_fence& f = fence_at(data).c();
  const rcu::read_section section;
  const dma_fence_ops* ops = fence_at(data).attached_ops();
  if (ops != nullptr && ops->set_deadline != nullptr) ops->set_deadline(&f, deadline_ns);
}

int op_wait(void* data, std::int64_t deadline_ns) noexcept {
  dma_fence& f = fence_at(data).c();
  const dma_fence_ops* ops = fence_at(data).attached_ops();
  if (ops == nullptr || ops->wait == nullptr || ops->wait == &dma_fence_default_wait) return 0;
  signed long timeout = MAX_SCHEDULE_TIMEOUT;
  if (deadline_ns != no_deadline) {
    const std::int64_t left = deadline_ns - now_ns();
    timeout = left > 0 ? (left + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC : 0;
  }
  const signed long how = ops->wait(&f, false, timeout);
  if (how == 0) return -ETIME;
  return how < 0 ? static_cast<int>(how) : 0;
}

void op_release(void* data) noexcept { fence_at(data).end(); }

void op_work(void* data) noexcept {
  dma_fence& f = fence_at(data).c();
  if (dma_fence_is_array(&f)) {
    array_work(f);
  } else if (dma_fence_is_chain(&f)) {
    chain_work(f);
  } else {
    stand_in_work(f);
  }
}

bool op_is_container(void* data) noexcept {
  return dma_fence_is_container(&fence_at(data).c());
}

fence_ref adopt(dma_fence* f) noexcept {
  return f != nullptr ? fence_ref::adopt(&kernel_fence::of(*f)) : nullptr;
}

fence_ref op_child(void* data, std::uint32_t i) noexcept {
  dma_fence& f = fence_at(data).c();
  if (const dma_fence_chain* node = to_dma_fence_chain(&f)) {
    return i == 0 ? adopt(dma_fence_get(node->fence)) : nullptr;
  }
  return adopt(dma_fence_get(dma_fence_array_next(&f, i)));
}

fence_ref op_before(void* data) noexcept {
  dma_fence& f = fence_at(data).c();
  if (!dma_fence_is_chain(&f)) return nullptr;
  return adopt(dma_fence_chain_walk(dma_fence_get(&f)));
}

constexpr legacy_ops ops_in_place{.lock = &op_lock,
                                  .unlock = &op_unlock,
                                  .enable_signaling = &op_enable,
                                  .poll = &op_poll,
                                  .set_deadline = &op_set_deadline,
                                  .wait = &op_wait,
                                  .release = &op_release,
                                  .work = &op_work,
                                  .is_container = &op_is_container,
                                  .child = &op_child,
                                  .before = &op_before};

void run_callback(callback& node, fence& f) noexcept {
  auto* cb = reinterpret_cast<dma_fence_cb*>(reinterpret_cast<char*>(&node) -
                                             offsetof(dma_fence_cb, ufence_node));
  // relaxed: only a remover reads it, through next
  as_atomic(cb->node.prev).store(&cb->node, mo::relaxed);
  // [KERNEL.4] release: that the callback runs; pairs with [KERNEL.5]
  as_atomic(cb->node.next).store(&cb->node, mo::release);
  cb->func(&static_cast<kernel_fence&>(f).c(), cb);  // may free it
}

callback& node_of(dma_fence_cb& cb) noexcept {
  return *std::launder(reinterpret_cast<callback*>(cb.ufence_node));
}

}  // namespace

bool kernel_fence::is_one(const fence& f) noexcept {
  return !f.is_independent() && static_cast<const legacy_fence&>(f).ops == &ops_in_place;
}

void warn(const char* text, const dma_fence* about) noexcept {
  send_report({.kind = report_kind::kernel_warning,
               .context = about != nullptr ? about->context : 0,
               .seqno = about != nullptr ? about->seqno : 0,
               .driver_name = "",
               .timeline_name = "",
               .text = text});
}

void reclaim_if_possible() noexcept {
  const thread_state& thread = thread_state::mine();
  if (thread.top == nullptr && thread.spinlocks_held == 0 && !rcu::is_reading()) rcu::reclaim();
}

// --- Life ---

void kernel_fence::init(dma_fence& f, const dma_fence_ops& its_ops, std::uint64_t context,
                        std::uint64_t seqno, unsigned long flags,
                        const ufence_fence_services* services) noexcept {
  auto* made = static_cast<kernel_fence*>(::new (static_cast<void*>(&f)) legacy_fence);
  f.ops = &its_ops;
  f.flags = flags | flag(DMA_FENCE_FLAG_INITIALIZED_BIT);
  f.ufence_services = services;
  made->init_in_place(ops_in_place, context, seqno);
}

void kernel_fence::init_signaled(dma_fence& f, const dma_fence_ops& its_ops,
                                 std::int64_t timestamp_ns) noexcept {
  constexpr unsigned long flags =
      flag(DMA_FENCE_FLAG_INLINE_LOCK_BIT) | flag(DMA_FENCE_FLAG_ENABLE_SIGNAL_BIT) |
      flag(DMA_FENCE_FLAG_SIGNALED_BIT) | flag(DMA_FENCE_FLAG_TIMESTAMP_BIT);
  spin_lock_init(&f.inline_lock);
  init(f, its_ops, 0, 0, flags, nullptr);
  of(f).set_signaled_at_birth(timestamp_ns);
}

void kernel_fence::end() noexcept {
  if (has_callbacks() && !has_signaled_flag()) {
    warn("a fence is released with callbacks pending; it ends with -EDEADLK", &c());
    lock_foreign();
    c().error = -EDEADLK;
    if (decide(0)) call_back();
    unlock_foreign();
  }
  const rcu::read_section section;
  const dma_fence_ops* attached = attached_ops();
  if (attached != nullptr && attached->release != nullptr) {
    attached->release(&c());
  } else {
    dma_fence_free(&c());
  }
}

// --- Locking ---

void kernel_fence::lock_foreign() noexcept {
  spinlock_t* lock = dma_fence_spinlock(&c());
  if (c().ufence_services != nullptr) {
    c().ufence_services->lock(lock);
  } else {
    spin::acquire(*lock);
  }
}

void kernel_fence::unlock_foreign() noexcept {
  spinlock_t* lock = dma_fence_spinlock(&c());
  if (c().ufence_services != nullptr) {
    c().ufence_services->unlock(lock);
  } else {
    spin::release(*lock);
  }
}

void kernel_fence::lock_settled() noexcept {
  for (;;) {
    lock_foreign();
    if (!has_signaled_flag() || is_settled() || is_of_parent() ||
        thread_state::mine().involves(*this)) {
      return;
    }
    // Its callbacks still want the lock, or have just returned.
    unlock_foreign();
    wait_until_settled_elsewhere();
  }
}

void kernel_fence::unlock_and_settle() noexcept {
  unlock_foreign();
  thread_state::mine().run_queue();
}

// --- Signaling ---

bool kernel_fence::has_signaled_flag() noexcept { return dma_fence_test_signaled_flag(&c()); }

// Lock held, but for containers, which nobody else signals.
bool kernel_fence::decide(std::int64_t timestamp_ns) noexcept {
  atomic<unsigned long>& flags = as_atomic(c().flags);
  constexpr unsigned long signaled = flag(DMA_FENCE_FLAG_SIGNALED_BIT);
  // [KERNEL.1] release: the error; pairs with dma_fence_test_signaled_flag()
  if ((flags.fetch_or(signaled, mo::release) & signaled) != 0) return false;
  decide_in_place(c().error, timestamp_ns);
  // [KERNEL.2] release: the timestamp; pairs with [KERNEL.3]
  flags.fetch_or(flag(DMA_FENCE_FLAG_TIMESTAMP_BIT), mo::release);
  const dma_fence_ops* attached = attached_ops();
  if (attached != nullptr && attached->release == nullptr && attached->wait == nullptr) {
    // relaxed: readers take what they find, and null says nothing else
    as_atomic(c().ops).store(nullptr, mo::relaxed);
  }
  return true;
}

bool kernel_fence::signal(std::int64_t timestamp_ns, bool lock_is_held) noexcept {
  if (is_of_parent()) return false;
  thread_state& thread = thread_state::mine();
  const bool settles_now = lock_is_held || (thread.top == nullptr && !thread.draining);
  get();
  if (!lock_is_held) lock_foreign();
  const bool won = decide(timestamp_ns);
  if (won && settles_now) call_back();
  if (!lock_is_held) unlock_foreign();
  if (won && settles_now) finish();
  if (won && !settles_now) queue_on_thread();
  put();
  thread.run_queue();
  return won;
}

bool kernel_fence::poll_now(bool lock_is_held) noexcept {
  bool is_complete = false;
  {
    const rcu::read_section section;
    const dma_fence_ops* attached = attached_ops();
    is_complete = attached != nullptr && attached->signaled != nullptr && attached->signaled(&c());
  }
  if (is_complete) signal(0, lock_is_held);
  return is_complete || has_signaled_flag();
}

// --- Callbacks ---

int kernel_fence::add(dma_fence_cb& cb, dma_fence_func_t func) noexcept {
  auto* node = ::new (static_cast<void*>(cb.ufence_node)) callback(&run_callback);
  cb.func = func;
  // relaxed, as prev: nobody else knows the node; null is not empty
  as_atomic(cb.node.next).store(nullptr, mo::relaxed);
  as_atomic(cb.node.prev).store(nullptr, mo::relaxed);
  const std::error_code refused = add_callback(*node);
  if (!refused) return 0;
  INIT_LIST_HEAD(&cb.node);
  return -refused.value();
}

bool kernel_fence::remove(dma_fence_cb& cb) noexcept {
  // [KERNEL.5] acquire: the fence says that it runs, or no longer; pairs with [KERNEL.4]
  const bool is_queued = as_atomic(cb.node.next).load(mo::acquire) != &cb.node;
  if (!is_queued) {
    if (!is_done_with(node_of(cb))) {
      warn("two running callbacks remove each other; one does not wait", &c());
    }
    return false;
  }
  const result<bool> removed = remove_callback(node_of(cb));
  if (!removed) warn("two running callbacks remove each other; one does not wait", &c());
  if (!removed || !*removed) return false;
  INIT_LIST_HEAD(&cb.node);
  return true;
}

// --- Waiting ---

std::int64_t deadline_of(signed long timeout) noexcept {
  if (timeout >= MAX_SCHEDULE_TIMEOUT / NSEC_PER_MSEC) return no_deadline;
  return timeout == 0 ? 0 : deadline_after(timeout * NSEC_PER_MSEC);
}

signed long jiffies_left(signed long timeout, std::int64_t deadline_ns) noexcept {
  if (deadline_ns == no_deadline) return timeout;
  if (timeout == 0) return 1;
  const std::int64_t left = (deadline_ns - now_ns() + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;
  if (left < 1) return 1;
  return left < timeout ? left : timeout;
}

signed long kernel_fence::wait_jiffies(signed long timeout) noexcept {
  if (is_of_parent() && !is_signaled()) return -EOWNERDEAD;
  const std::int64_t deadline_ns = deadline_of(timeout);
  if (!wait_until_signaled(deadline_ns)) return 0;
  // Kernel code takes the end of a wait for the end of the callbacks.
  wait_until_settled_elsewhere();
  return jiffies_left(timeout, deadline_ns);
}

}  // namespace ufence

// --- The kernel's names ---

using ufence::as_atomic;
using ufence::kernel_fence;
namespace mo = ufence::mo;

void ufence_dma_fence_init(dma_fence* fence, const dma_fence_ops* ops, u64 context, u64 seqno,
                           unsigned long flags, const ufence_fence_services* services) {
  UFENCE_CHECK(ops != nullptr && ops->get_driver_name != nullptr &&
               ops->get_timeline_name != nullptr && "a fence has ops with both names");
  // With spinlocks that are not ours nobody knows whether this is a place to wait.
  if (services == nullptr) ufence::reclaim_if_possible();
  kernel_fence::init(*fence, *ops, context, seqno, flags, services);
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
  auto* fence = reinterpret_cast<dma_fence*>(reinterpret_cast<char*>(count) -
                                             offsetof(dma_fence, refcount));
  kernel_fence::of(*fence).end_in_place();
}

void dma_fence_free(dma_fence* fence) {
  static_assert(offsetof(dma_fence, rcu) == offsetof(dma_fence, timestamp));
  auto& node = reinterpret_cast<ufence::rcu::deferred&>(fence->rcu);
  ufence::rcu::defer(node, [](ufence::rcu::deferred* freed) noexcept {
    auto* f = reinterpret_cast<dma_fence*>(reinterpret_cast<char*>(freed) - offsetof(dma_fence, rcu));
    if (f->ufence_services != nullptr) {
      f->ufence_services->free(f);
    } else {
      std::free(f);
    }
  });
}

u64 dma_fence_context_alloc(unsigned int num) {
  if (num == 0) ufence::warn("dma_fence_context_alloc(0)");
  return ufence::fence::allocate_contexts(num);
}

namespace {

const char* stub_name(dma_fence*) { return "stub"; }

constexpr dma_fence_ops stub_ops{.get_driver_name = &stub_name,
                                 .get_timeline_name = &stub_name,
                                 .enable_signaling = nullptr,
                                 .signaled = nullptr,
                                 .wait = nullptr,
                                 .release = nullptr,
                                 .set_deadline = nullptr};

struct stub_fence : dma_fence {
  stub_fence() noexcept { kernel_fence::init_signaled(*this, stub_ops, ufence::now_ns()); }
};

}  // namespace

dma_fence* dma_fence_get_stub() {
  static stub_fence stub;
  return dma_fence_get(&stub);
}

dma_fence* dma_fence_allocate_private_stub(ktime_t timestamp) {
  ufence::reclaim_if_possible();
  auto* fence = static_cast<dma_fence*>(ufence::allocate(sizeof(dma_fence)));
  if (fence != nullptr) kernel_fence::init_signaled(*fence, stub_ops, timestamp);
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

void dma_fence_signal(dma_fence* fence) { signal(fence, 0, false); }
void dma_fence_signal_locked(dma_fence* fence) { signal(fence, 0, true); }
void dma_fence_signal_timestamp(dma_fence* fence, ktime_t timestamp) {
  signal(fence, timestamp, false);
}
void dma_fence_signal_timestamp_locked(dma_fence* fence, ktime_t timestamp) {
  signal(fence, timestamp, true);
}
bool dma_fence_check_and_signal(dma_fence* fence) { return signal(fence, 0, false); }
bool dma_fence_check_and_signal_locked(dma_fence* fence) { return signal(fence, 0, true); }

void dma_fence_set_error(dma_fence* fence, int error) {
  if (dma_fence_test_signaled_flag(fence)) {
    ufence::warn("an error is set after the signal; it stays as it was", fence);
    return;
  }
  if (error >= 0 || error < -MAX_ERRNO) {
    ufence::warn("an error must be a negative errno", fence);
    if (error != 0) error = -EINVAL;
  }
  fence->error = error;
}

bool ufence_dma_fence_poll(dma_fence* fence) { return kernel_fence::of(*fence).poll(); }
bool ufence_dma_fence_poll_locked(dma_fence* fence) {
  return kernel_fence::of(*fence).poll_now(true);
}

ktime_t dma_fence_timestamp(dma_fence* fence) {
  if (!dma_fence_test_signaled_flag(fence)) {
    ufence::warn("the timestamp of a pending fence", fence);
    return ktime_get();
  }
  // [KERNEL.3] acquire: the timestamp; pairs with [KERNEL.2]
  while ((as_atomic(fence->flags).load(mo::acquire) &
          ufence::flag(DMA_FENCE_FLAG_TIMESTAMP_BIT)) == 0) {
    ufence::spin_pause();
  }
  return fence->timestamp;
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

void dma_fence_enable_sw_signaling(dma_fence* fence) {
  kernel_fence::of(*fence).enable_signaling();
}

signed long dma_fence_default_wait(dma_fence* fence, bool, signed long timeout) {
  return kernel_fence::of(*fence).wait_jiffies(timeout);
}

signed long dma_fence_wait_timeout(dma_fence* fence, bool intr, signed long timeout) {
  if (timeout < 0) {
    ufence::warn("a negative timeout", fence);
    return -EINVAL;
  }
  __dma_fence_might_wait();
  ufence::reclaim_if_possible();
  kernel_fence& f = kernel_fence::of(*fence);
  f.enable_signaling();
  const dma_fence_ops* ops = f.attached_ops();
  return ops != nullptr && ops->wait != nullptr ? ops->wait(fence, intr, timeout)
                                                : f.wait_jiffies(timeout);
}

signed long dma_fence_wait_any_timeout(dma_fence** fences, u32 count, bool, signed long timeout,
                                       u32* idx) {
  using ufence::fence_ref;
  static_assert(sizeof(fence_ref) == sizeof(dma_fence*));
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
  const std::int64_t deadline_ns = ufence::deadline_of(timeout);
  // The caller's references are looked at, not taken.
  const auto found = ufence::wait_any({reinterpret_cast<const fence_ref*>(fences), count}, deadline_ns);
  if (!found) {
    const int error = found.error().value();
    return error == ETIME ? 0 : -error;
  }
  if (idx != nullptr) *idx = static_cast<u32>(*found);
  return ufence::jiffies_left(timeout, deadline_ns);
}

void dma_fence_set_deadline(dma_fence* fence, ktime_t deadline) {
  if (!dma_fence_is_signaled(fence)) kernel_fence::of(*fence).set_deadline(deadline);
}

const char* dma_fence_driver_name(dma_fence* fence) {
  const dma_fence_ops* ops = kernel_fence::of(*fence).attached_ops();
  return ops != nullptr ? ops->get_driver_name(fence) : "detached-driver";
}

const char* dma_fence_timeline_name(dma_fence* fence) {
  const dma_fence_ops* ops = kernel_fence::of(*fence).attached_ops();
  return ops != nullptr ? ops->get_timeline_name(fence) : "signaled-timeline";
}

void ufence_dma_fence_describe(dma_fence* fence, char* line, size_t size) {
  const bool is_signaled = dma_fence_is_signaled(fence);
  const ufence::rcu::read_section section;
  std::snprintf(line, size, "%" PRIu64 ":%" PRIu64 " %s %s %ssignalled\n", fence->context,
                fence->seqno, is_signaled ? "" : dma_fence_timeline_name(fence),
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
