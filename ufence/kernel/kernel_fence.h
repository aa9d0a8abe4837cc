// The fence inside a struct dma_fence; for the sources of this layer.
//
// It is a foreign fence in memory of its issuer: its lock, ops and callbacks are handled as
// ufence/foreign/foreign_fence.h says.
//
// Orders: KERNEL.1 what a signal publishes through the flags; KERNEL.6..8 spinlocks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ufence/base/atomic.h"
#include "ufence/foreign/foreign_fence.h"
#include "ufence/kernel/linux/dma-fence.h"
#include "ufence/rcu/rcu.h"

namespace ufence {

/// A word of a C struct as an atomic.
template <class T>
[[nodiscard]] inline atomic<T>& as_atomic(T& word) noexcept {
  static_assert(sizeof(atomic<T>) == sizeof(T) && alignof(atomic<T>) == alignof(T));
  return reinterpret_cast<atomic<T>&>(word);
}

/// A field of a C struct as a cell.
template <class T>
[[nodiscard]] inline cell<T>& as_cell(T& field) noexcept {
  static_assert(sizeof(cell<T>) == sizeof(T) && alignof(cell<T>) == alignof(T));
  return reinterpret_cast<cell<T>&>(field);
}

struct thread_work;

/// Work that the kernel does in an irq_work: `run` is called on this thread when it runs no op or callback and
/// holds no spinlock, with `words`, in which nothing is queued.
void queue_work(void* (&words)[2], void (*run)(thread_work&) noexcept) noexcept;

/// The object that has the work at that offset.
template <class T>
[[nodiscard]] T& around(thread_work& work, std::size_t offset) noexcept {
  return *reinterpret_cast<T*>(reinterpret_cast<char*>(&work) - offset);
}

/// The fence that one of to_dma_fence() stands for; null: it is another one. (interop.cc)
[[nodiscard]] fence* original_of(dma_fence& f) noexcept;

/// dma_fence_chain_walk() that asks no issuer: a poll of what a node contains may begin a walk that comes
/// here again.
[[nodiscard]] dma_fence* walk_without_polling(dma_fence* fence) noexcept;

/// Tells the report handler what the kernel would warn about.
void warn(const char* text, const dma_fence* about = nullptr) noexcept;

/// A scope in which ops are called: a read section, and one of the issuer's own RCU, if it has one. The services are
/// looked at before the op, which may free the fence.
class op_section {
 public:
  explicit op_section(const dma_fence& f) noexcept : services_(f.ufence_services) {
    if (services_ != nullptr && services_->read_lock != nullptr) services_->read_lock();
  }
  ~op_section() {
    if (services_ != nullptr && services_->read_unlock != nullptr) services_->read_unlock();
  }
  op_section(const op_section&) = delete;
  op_section& operator=(const op_section&) = delete;

 private:
  const rcu::read_section section_;
  const ufence_fence_services* const services_;
};

class kernel_fence : public foreign_fence {
 public:
  [[nodiscard]] static kernel_fence& of(dma_fence& f) noexcept {
    return reinterpret_cast<kernel_fence&>(f);
  }
  /// Is it the fence of a struct dma_fence?
  [[nodiscard]] static bool is_one(const fence& f) noexcept {
    return is_of(f, type_of_fences) || is_of(f, type_of_containers);
  }
  [[nodiscard]] dma_fence& c() noexcept { return reinterpret_cast<dma_fence&>(*this); }

  static void init(dma_fence& f, const dma_fence_ops* its_ops, std::uint64_t context,
                   std::uint64_t seqno, unsigned long flags,
                   const ufence_fence_services* services) noexcept;
  /// A fence that was signaled at that time, whose ops are gone.
  static void init_signaled(dma_fence& f, std::int64_t timestamp_ns) noexcept;

  // A queued node is not an empty list; callbacks and remove_callback() set it so.
  [[nodiscard]] int add(dma_fence_cb& cb, dma_fence_func_t func) noexcept;
  [[nodiscard]] bool remove(dma_fence_cb& cb) noexcept;

  /// The time of a signal that has none of its own.
  static constexpr std::int64_t at_once = INT64_MIN;
  /// @param timestamp_ns  any time, or at_once
  /// @return  this call signaled it
  /// A nested one, in a callback, op, or a container's work, runs the callbacks later (F15), but
  /// not with the lock held: then they run at once.
  bool signal(std::int64_t timestamp_ns, bool lock_is_held) noexcept;
  [[nodiscard]] bool poll_now(bool lock_is_held) noexcept;
  /// Asks for its completion to be noticed, once.
  void enable() noexcept;
  /// The same with the lock held. False: it is signaled.
  [[nodiscard]] bool enable_locked() noexcept;
  /// Tells it to an issuer that wants to know, if the fence is pending after a poll.
  void set_deadline_polled(std::int64_t deadline_ns) noexcept;
  /// Tells it to an issuer that wants to know.
  void tell_deadline(std::int64_t deadline_ns) noexcept;
  [[nodiscard]] signed long wait_jiffies(bool is_interruptible, signed long timeout) noexcept;
  /// Waits, after its signal, until that is through with the fence.
  void wait_until_through() noexcept;
  void lock_settled() noexcept;
  void unlock_and_settle() noexcept;
  void lock_issuer() noexcept;
  void unlock_issuer() noexcept;
  /// The last reference is gone.
  static void end(fence& f) noexcept;

  [[nodiscard]] const dma_fence_ops* attached_ops() noexcept {
    // relaxed: the ops are older than the fence's publication, and only ever become null
    return as_atomic(c().ops).load(mo::relaxed);
  }
  /// Those whose names may be asked for, inside a read section. With the signal the issuer may free what its
  /// names are made of after a grace period, also where the ops stay: both are looked at.
  [[nodiscard]] const dma_fence_ops* naming_ops() noexcept {
    return has_signaled_flag() ? nullptr : attached_ops();
  }
  [[nodiscard]] bool has_signaled_flag() noexcept { return dma_fence_test_signaled_flag(&c()); }
  /// Puts an error in its place while the fence is pending, unless there is one: of containers and the like,
  /// which several threads may find complete at once. The one that signals it publishes what is there.
  /// @param none  what is in that place as long as there is no error
  void note_error(int none, int error) noexcept;
  /// Does somebody wait for it by a callback? May be stale at once.
  [[nodiscard]] bool had_callbacks() noexcept;

 private:
  friend class foreign_fence;
  static const fence_type type_of_fences;
  static const fence_type type_of_containers;
  static constexpr bool is_in_issuers_memory = true;

  // For foreign_fence.
  [[nodiscard]] bool was_signaled() noexcept { return has_signaled_flag(); }
  [[nodiscard]] int ask_to_enable() noexcept;
  [[nodiscard]] int ask_whether_complete() noexcept;
  [[nodiscard]] int ask_to_wait(std::int64_t deadline_ns) noexcept;

  static bool copy_names(const fence& f,
                         void (*take)(void* to, const char* driver, const char* timeline),
                         void* to) noexcept;
  static fence_ref child(fence& f, std::uint32_t i) noexcept;
  static fence_ref before(fence& f) noexcept;

  /// Makes its result readable by its flags. LOCK is held.
  void publish(std::int64_t when) noexcept;
  void end_callbacks_pending() noexcept;
  void call_release() noexcept;
  [[nodiscard]] bool is_enabled_or_need_not_be() noexcept;
  /// Waits until it is settled, unless it is this very thread that has to settle it.
  void wait_until_settled_elsewhere() noexcept;
  /// fence::wait(), also inside an op of the fence, and without asking its ops.
  /// @return  0; -ETIME; -EINTR a signal handler ran, and the caller asked for that
  [[nodiscard]] int wait_until_signaled(std::int64_t deadline_ns, bool is_interruptible) noexcept;
  /// fence::remove_callback() for a node that is known to be no longer queued, or never was.
  [[nodiscard]] bool is_done_with(callback& node) noexcept;
  [[nodiscard]] bool op_says_signaled() noexcept;
};

[[nodiscard]] constexpr unsigned long flag(dma_fence_flag_bits bit) noexcept { return 1UL << bit; }

/// The deadline that a timeout in jiffies means, and the jiffies that are left of it.
[[nodiscard]] std::int64_t deadline_of(signed long timeout) noexcept;
[[nodiscard]] signed long jiffies_left(signed long timeout, std::int64_t deadline_ns) noexcept;

namespace spin {
/// Without running what waits for the thread's last spinlock to be dropped.
void acquire(spinlock_t& lock) noexcept;
void release(spinlock_t& lock) noexcept;
}  // namespace spin

}  // namespace ufence
