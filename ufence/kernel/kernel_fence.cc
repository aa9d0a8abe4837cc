#include "ufence/kernel/kernel_fence.h"

#include <cstddef>
#include <new>

#include "ufence/base/atomic.h"
#include "ufence/fence/callback_batch.h"
#include "ufence/fence/report.h"
#include "ufence/fence/thread_state.h"
#include "ufence/fence/trace.h"
#include "ufence/kernel/linux/dma-fence-array.h"
#include "ufence/kernel/linux/dma-fence-chain.h"
#include "ufence/rcu/rcu.h"

// The fields that a caller in C can see lie where the fence has them.
static_assert(offsetof(dma_fence, ufence_type) == sizeof(ufence::fence));
static_assert(offsetof(dma_fence, ops) == sizeof(ufence::kernel_fence));
static_assert(sizeof(ufence::callback) <= sizeof(dma_fence_cb::ufence_node));
static_assert(sizeof(rcu_head) == sizeof(ufence::rcu::deferred));

namespace ufence {
namespace {

kernel_fence& kernel_fence_at(const fence& f) noexcept {
  return static_cast<kernel_fence&>(const_cast<fence&>(f));
}

fence_ref adopt(dma_fence* f) noexcept {
  return f != nullptr ? fence_ref::adopt(&kernel_fence::of(*f)) : nullptr;
}

void run_callback(callback& node, fence& f) noexcept {
  auto* cb = reinterpret_cast<dma_fence_cb*>(reinterpret_cast<char*>(&node) -
                                             offsetof(dma_fence_cb, ufence_node));
  // relaxed, both: says only that it is not queued; remove() asks the fence for the rest
  as_atomic(cb->node.prev).store(&cb->node, mo::relaxed);
  as_atomic(cb->node.next).store(&cb->node, mo::relaxed);
  cb->func(&static_cast<kernel_fence&>(f).c(), cb);  // may free it
}

callback& node_of(dma_fence_cb& cb) noexcept {
  return *std::launder(reinterpret_cast<callback*>(cb.ufence_node));
}

}  // namespace

// --- As the library sees it: RCU section, lock and results as the kernel has them ---

constexpr fence_type kernel_fence::type_of_fences{
    // The kernel's placeholders: what its issuer says may go, and is copied.
    .driver_name = "detached-driver",
    .timeline_name = "signaled-timeline",
    .enable = &op_enable<kernel_fence>,
    .end = &end,
    .is_foreign = true,
    .shows_signaled = [](const fence& f) noexcept { return kernel_fence_at(f).has_signaled_flag(); },
    .poll = &op_poll<kernel_fence>,
    .set_deadline = &op_set_deadline<kernel_fence>,
    .wait = &op_wait<kernel_fence>,
    .settle = &op_settle<kernel_fence>,
    .copy_names = &copy_names,
    .original = [](fence& f) noexcept { return original_of(kernel_fence_at(f).c()); }};

constexpr fence_type kernel_fence::type_of_containers = [] {
  fence_type type = type_of_fences;
  type.child = &child;
  type.before = &before;
  return type;
}();

int kernel_fence::ask_to_enable() noexcept {
  static_cast<void>(enable_locked());
  return 0;
}

int kernel_fence::ask_whether_complete() noexcept {
  static_cast<void>(poll_now(false));
  return 0;
}

int kernel_fence::ask_to_wait(std::int64_t deadline_ns) noexcept {
  const dma_fence_ops* attached = attached_ops();
  if (attached == nullptr || attached->wait == nullptr ||
      attached->wait == &dma_fence_default_wait) {
    return 0;
  }
  signed long timeout = MAX_SCHEDULE_TIMEOUT;
  if (deadline_ns != no_deadline) {
    const std::int64_t left = deadline_ns - now_ns();
    timeout = left > 0 ? (left + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC : 0;
  }
  const signed long how = attached->wait(&c(), false, timeout);
  if (how == 0) return -ETIME;
  return how < 0 ? static_cast<int>(how) : 0;
}

bool kernel_fence::copy_names(const fence& f, void (*take)(void*, const char*, const char*),
                              void* to) noexcept {
  kernel_fence& self = kernel_fence_at(f);
  const op_section section(self.c());
  const dma_fence_ops* attached = self.naming_ops();
  if (attached == nullptr) return false;
  take(to, attached->get_driver_name(&self.c()), attached->get_timeline_name(&self.c()));
  return true;
}

fence_ref kernel_fence::child(fence& f, std::uint32_t i) noexcept {
  dma_fence& self = kernel_fence_at(f).c();
  if (const dma_fence_chain* node = to_dma_fence_chain(&self)) {
    return i == 0 ? adopt(dma_fence_get(node->fence)) : nullptr;
  }
  return adopt(dma_fence_get(dma_fence_array_next(&self, i)));
}

fence_ref kernel_fence::before(fence& f) noexcept {
  dma_fence& self = kernel_fence_at(f).c();
  if (!dma_fence_is_chain(&self)) return nullptr;
  return adopt(walk_without_polling(dma_fence_get(&self)));
}

void queue_work(void* (&words)[2], void (*run)(thread_work&) noexcept) noexcept {
  static_assert(sizeof(thread_work) == sizeof(words));
  thread_state::mine().queue_work(*::new (static_cast<void*>(words)) thread_work{.run = run});
}

void warn(const char* text, const dma_fence* about) noexcept {
  send_report({.kind = report_kind::kernel_warning,
               .context = about != nullptr ? about->context : 0,
               .seqno = about != nullptr ? about->seqno : 0,
               .driver_name = "",
               .timeline_name = "",
               .text = text});
}

// --- Life ---

void kernel_fence::init(dma_fence& f, const dma_fence_ops* its_ops, std::uint64_t context,
                        std::uint64_t seqno, unsigned long flags,
                        const ufence_fence_services* services) noexcept {
  auto* const made = ::new (static_cast<void*>(&f)) kernel_fence;
  f.ops = its_ops;
  f.flags = flags | flag(DMA_FENCE_FLAG_INITIALIZED_BIT);
  f.ufence_services = services;
  f.ufence_is_polled = its_ops != nullptr && its_ops->signaled != nullptr ? 1 : 0;
  const bool wraps = (flags & flag(DMA_FENCE_FLAG_SEQNO64_BIT)) == 0;
  made->foreign_fence::init(dma_fence_is_container(&f) ? type_of_containers : type_of_fences,
                            context, seqno, nullptr, 1, wraps);
}

void kernel_fence::init_signaled(dma_fence& f, std::int64_t timestamp_ns) noexcept {
  constexpr unsigned long flags =
      flag(DMA_FENCE_FLAG_INLINE_LOCK_BIT) | flag(DMA_FENCE_FLAG_ENABLE_SIGNAL_BIT) |
      flag(DMA_FENCE_FLAG_SIGNALED_BIT) | flag(DMA_FENCE_FLAG_TIMESTAMP_BIT);
  spin_lock_init(&f.inline_lock);
  init(f, nullptr, 0, 0, flags, nullptr);
  of(f).set_signaled_at_birth(timestamp_ns);
}

void kernel_fence::end(fence& f) noexcept {
  auto& self = static_cast<kernel_fence&>(f);
  thread_state& thread = thread_state::mine();
  {
    const foreign_scope scope(thread, self);
    self.end_callbacks_pending();
    self.call_release();
  }
  // It may have signaled others.
  thread.run_queue();
}

void kernel_fence::end_callbacks_pending() noexcept {
  if (callbacks() == nullptr || has_signaled_flag()) return;
  warn("a fence is released with callbacks pending; it ends with -EDEADLK", &c());
  lock_issuer();
  as_cell(c().error).set(-EDEADLK);
  const std::int64_t when = now_ns();
  if (begin_decision()) {
    publish(when);
    mark_and_call_back();
  }
  unlock_issuer();
}

void kernel_fence::call_release() noexcept {
  if (attached_ops() == nullptr) return dma_fence_free(&c());
  const op_section section(c());
  const dma_fence_ops* attached = attached_ops();
  if (attached != nullptr && attached->release != nullptr) {
    attached->release(&c());
  } else {
    dma_fence_free(&c());
  }
}

// --- Locking ---

void kernel_fence::lock_issuer() noexcept {
  spinlock_t* lock = dma_fence_spinlock(&c());
  if (c().ufence_services != nullptr) {
    c().ufence_services->lock(lock);
    ++thread_state::mine().spinlocks_held;
  } else {
    spin::acquire(*lock);
  }
}

void kernel_fence::unlock_issuer() noexcept {
  spinlock_t* lock = dma_fence_spinlock(&c());
  if (c().ufence_services != nullptr) {
    c().ufence_services->unlock(lock);
    --thread_state::mine().spinlocks_held;
  } else {
    spin::release(*lock);
  }
}

void kernel_fence::lock_settled() noexcept {
  for (;;) {
    lock_issuer();
    if (!has_signaled_flag() || is_settled() || is_inherited() ||
        thread_state::mine().involves(*this)) {
      return;
    }
    // Its callbacks still want the lock, or have just returned.
    unlock_issuer();
    wait_until_settled_elsewhere();
  }
}

void kernel_fence::unlock_and_settle() noexcept {
  unlock_issuer();
  thread_state::mine().run_queue();
}

// --- Signaling ---

// The external lock and LOCK are held, and it is not signaled yet.
void kernel_fence::publish(std::int64_t when) noexcept {
  constexpr unsigned long flags =
      flag(DMA_FENCE_FLAG_SIGNALED_BIT) | flag(DMA_FENCE_FLAG_TIMESTAMP_BIT);
  as_cell(c().timestamp).set(when);
  // [KERNEL.1] release: the error and the timestamp; pairs with dma_fence_test_signaled_flag()
  as_atomic(c().flags).fetch_or(flags, mo::release);
  const dma_fence_ops* attached = attached_ops();
  if (attached != nullptr && attached->release == nullptr && attached->wait == nullptr) {
    // relaxed: readers take what they find, and null says nothing else
    as_atomic(c().ops).store(nullptr, mo::relaxed);
  }
}

void kernel_fence::note_error(int none, int error) noexcept {
  if (is_inherited()) return;  // nobody signals it here
  cell<int>& place = as_cell(c().error);
  if ((lock() & fence_state::signaled) == 0 && place.get() == none) place.set(error);
  unlock();
}

bool kernel_fence::signal(std::int64_t timestamp_ns, bool lock_is_held) noexcept {
  if (is_inherited()) return false;
  // Its error is in its place already.
  return signal_with(*this, lock_is_held, [this, timestamp_ns] {
    publish(timestamp_ns != at_once ? timestamp_ns : now_ns());
  });
}

// --- Asking its issuer ---

// Lock held. False: it is signaled.
bool kernel_fence::enable_locked() noexcept {
  constexpr unsigned long enabled = flag(DMA_FENCE_FLAG_ENABLE_SIGNAL_BIT);
  // relaxed: the lock is held
  const unsigned long before = as_atomic(c().flags).fetch_or(enabled, mo::relaxed);
  if ((before & flag(DMA_FENCE_FLAG_SIGNALED_BIT)) != 0) return false;
  if ((before & enabled) != 0) return true;
  bool is_complete = false;
  {
    const op_section section(c());
    const dma_fence_ops* attached = attached_ops();
    if (attached == nullptr || attached->enable_signaling == nullptr) return true;
    UFENCE_TRACE(enable_signal, *this);
    const foreign_scope scope(thread_state::mine(), *this);
    is_complete = !attached->enable_signaling(&c());
  }
  if (is_complete) signal(at_once, true);
  return !has_signaled_flag();
}

void kernel_fence::enable() noexcept {
  // relaxed: only a hint that saves the lock
  const unsigned long flags = as_atomic(c().flags).load(mo::relaxed);
  constexpr unsigned long done =
      flag(DMA_FENCE_FLAG_ENABLE_SIGNAL_BIT) | flag(DMA_FENCE_FLAG_SIGNALED_BIT);
  if ((flags & done) != 0 || is_inherited()) return;
  lock_issuer();
  static_cast<void>(enable_locked());
  unlock_and_settle();
}

bool kernel_fence::op_says_signaled() noexcept {
  const op_section section(c());
  const dma_fence_ops* attached = attached_ops();
  if (attached == nullptr || attached->signaled == nullptr) return false;
  const foreign_scope scope(thread_state::mine(), *this);
  return attached->signaled(&c());
}

bool kernel_fence::poll_now(bool lock_is_held) noexcept {
  if (has_signaled_flag() || is_inherited()) return has_signaled_flag();
  bool is_complete = op_says_signaled();
  // The op may have signaled others, which are settled after it: a container of ufence's own that it asks
  // about is signaled so.
  if (!is_complete && thread_state::mine().run_queue()) {
    is_complete = !has_signaled_flag() && op_says_signaled();
  }
  if (is_complete) signal(at_once, lock_is_held);
  return is_complete || has_signaled_flag();
}

void kernel_fence::set_deadline_polled(std::int64_t deadline_ns) noexcept {
  if (is_inherited()) return;
  {
    const op_section section(c());
    const dma_fence_ops* attached = attached_ops();
    if (attached == nullptr || attached->set_deadline == nullptr) return;
  }
  if (dma_fence_is_signaled(&c())) return;
  tell_deadline(deadline_ns);
  thread_state::mine().run_queue();
}

void kernel_fence::tell_deadline(std::int64_t deadline_ns) noexcept {
  const op_section section(c());
  const dma_fence_ops* attached = attached_ops();
  if (attached == nullptr || attached->set_deadline == nullptr) return;
  const foreign_scope scope(thread_state::mine(), *this);
  attached->set_deadline(&c(), deadline_ns);
}

// --- Callbacks ---

int kernel_fence::add(dma_fence_cb& cb, dma_fence_func_t func) noexcept {
  auto* node = ::new (static_cast<void*>(cb.ufence_node)) callback(&run_callback);
  cb.func = func;
  // relaxed, as prev: nobody else knows the node; null is not empty
  as_atomic(cb.node.next).store(nullptr, mo::relaxed);
  as_atomic(cb.node.prev).store(nullptr, mo::relaxed);
  int refused = 0;
  if (has_signaled_flag()) {
    refused = ENOENT;
  } else if (is_inherited()) {
    refused = EOWNERDEAD;
  } else if (is_enabled_or_need_not_be()) {
    refused = push_unless_signaled(*node);
  } else {
    // One step for those who signal it, be it because they are told to by the issuer's op.
    lock_issuer();
    refused = enable_locked() ? push_unless_signaled(*node) : ENOENT;
    unlock_and_settle();
  }
  if (refused != 0) INIT_LIST_HEAD(&cb.node);
  return -refused;
}

// True: no op has to be called before a callback is queued, or that was done, or another thread
// does it, and whether the callback is there before it or after is the same.
bool kernel_fence::is_enabled_or_need_not_be() noexcept {
  constexpr unsigned long enabled = flag(DMA_FENCE_FLAG_ENABLE_SIGNAL_BIT);
  atomic<unsigned long>& flags = as_atomic(c().flags);
  // relaxed, as below: the flag carries no data
  if ((flags.load(mo::relaxed) & enabled) != 0) return true;
  {
    const op_section section(c());
    const dma_fence_ops* attached = attached_ops();
    if (attached != nullptr && attached->enable_signaling != nullptr) return false;
  }
  flags.fetch_or(enabled, mo::relaxed);
  return true;
}

bool kernel_fence::remove(dma_fence_cb& cb) noexcept {
  // relaxed: is_done_with() takes the fence's LOCK, after the one under which it was taken off
  const bool is_queued = as_atomic(cb.node.next).load(mo::relaxed) != &cb.node;
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

bool kernel_fence::had_callbacks() noexcept {
  lock();
  const bool is_any = callbacks() != nullptr;
  unlock();
  return is_any;
}

bool kernel_fence::is_done_with(callback& node) noexcept {
  if (is_inherited()) return true;  // what runs it is a thread of the parent's
  lock();
  const bool runs = find_in_batch(node) == batch_place::runs;
  unlock();
  return !runs || wait_until_returned(node) >= 0;
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

signed long kernel_fence::wait_jiffies(bool is_interruptible, signed long timeout) noexcept {
  if (is_inherited() && !is_signaled()) return -EOWNERDEAD;
  const std::int64_t deadline_ns = deadline_of(timeout);
  const int failed = wait_until_signaled(deadline_ns, is_interruptible);
  if (failed != 0) return failed == -EINTR ? -ERESTARTSYS : 0;
  wait_until_through();
  return jiffies_left(timeout, deadline_ns);
}

void kernel_fence::wait_until_settled_elsewhere() noexcept {
  if (is_settled() || is_inherited() || thread_state::mine().involves(*this)) return;
  static_cast<void>(wait_for_settling(fence_state::settled, no_deadline));
}

int kernel_fence::wait_until_signaled(std::int64_t deadline_ns, bool is_interruptible) noexcept {
  if (is_signaled()) return 0;
  rank_check_none();
  UFENCE_TRACE(wait_start, *this);
  const std::error_code failed = wait_for(fence_state::signaled, deadline_ns, is_interruptible);
  UFENCE_TRACE_ERROR(wait_end, *this, -failed.value());
  return -failed.value();
}

// Kernel code takes the end of a wait for the end of the callbacks, and of the lock that was held
// over them: the fence may be on its stack.
void kernel_fence::wait_until_through() noexcept {
  wait_until_settled_elsewhere();
  const thread_state& thread = thread_state::mine();
  const bool may_hold_it = thread.top != nullptr || thread.spinlocks_held != 0 || thread.outer != nullptr;
  if (may_hold_it || is_inherited()) return;
  lock_issuer();
  unlock_issuer();
}

}  // namespace ufence
