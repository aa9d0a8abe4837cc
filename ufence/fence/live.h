// The lists by which somebody looks into a process that hangs: the timelines that live,
// and the threads that sleep for a fence. A timeline is listed when it is made and taken out when it
// is freed; a thread is listed right before it sleeps. Nothing is listed for each fence, so that no
// path that makes, signals or drops fences is longer for it. A model checker's double stands earlier
// on the include path.
#pragma once

#include <cstdint>
#include <span>

#include "ufence/base/api.h"
#include "ufence/base/atomic.h"
#include "ufence/fence/fence.h"

namespace ufence {

class timeline;
struct thread_state;

namespace detail {

/// Puts a timeline that was made into the list; takes one that is freed out of it.
void list_timeline(timeline& line) noexcept;
void unlist_timeline(timeline& line) noexcept;

/// The event that a thread sleeps for.
enum class sleeps_for : std::uint8_t {
  signaled,
  settled,
  quiesced,
  any,       // one of several fences to be signaled
  returned,  // remove_callback(): a callback that runs elsewhere
  lock,      // a lock that is held for as long as its user likes (container/ww_mutex.h)
};

/// Lists the calling thread for a scope, in which it sleeps. It lies on that thread's stack; the
/// fences are referenced by the thread's caller. Constant while it is listed.
class sleeping_thread {
 public:
  sleeping_thread(fence& f, sleeps_for what) noexcept : one_(&f), what_(what) { list(); }
  /// With the bits of the state word that are waited for (state.h).
  sleeping_thread(fence& f, std::uint32_t bits) noexcept;
  explicit sleeping_thread(std::span<const fence_ref> any_of) noexcept
      : several_(any_of), what_(sleeps_for::any) {
    list();
  }
  /// With the word that says who has the lock.
  explicit sleeping_thread(const atomic<std::uintptr_t>& lock) noexcept : lock_(&lock), what_(sleeps_for::lock) {
    list();
  }
  ~sleeping_thread();
  sleeping_thread(const sleeping_thread&) = delete;
  sleeping_thread& operator=(const sleeping_thread&) = delete;

  [[nodiscard]] sleeps_for what() const noexcept { return what_; }
  [[nodiscard]] std::size_t size() const noexcept { return one_ != nullptr ? 1 : several_.size(); }
  [[nodiscard]] fence& at(std::size_t i) const noexcept {
    return one_ != nullptr ? *one_ : *several_[i];
  }
  /// The word of the lock that it waits for; null: it waits for fences. Not to be read once it is not listed.
  [[nodiscard]] const void* lock() const noexcept { return lock_; }
  /// When it was listed, ns of CLOCK_MONOTONIC.
  [[nodiscard]] std::int64_t since_ns() const noexcept { return since_ns_; }
  /// The kernel's number of the thread.
  [[nodiscard]] int id() const noexcept { return id_; }
  /// The thread's frames of foreign code, which do not change while it sleeps.
  [[nodiscard]] const thread_state& state() const noexcept { return *state_; }
  /// A frame of its stack. What called the library lies above it.
  [[nodiscard]] const void* stack() const noexcept { return stack_; }

  struct list_access;  // live.cc

 private:
  void list() noexcept;

  fence* const one_ = nullptr;
  const std::span<const fence_ref> several_;
  const void* const lock_ = nullptr;
  const sleeps_for what_;
  int id_ = 0;
  std::uint32_t generation_ = 0;  // of fork()
  std::int64_t since_ns_ = 0;
  const thread_state* state_ = nullptr;
  const void* stack_ = nullptr;
  sleeping_thread* next_ = nullptr;  // guarded by the list's lock
  sleeping_thread* previous_ = nullptr;
};

/// The callbacks by which wait_any() and fence::pollable_fd() hear of a fence: to tell them from others.
[[nodiscard]] callback_function callback_of_wait_any() noexcept;
[[nodiscard]] callback_function callback_of_pollable() noexcept;

/// Where these lists lie, and what a sleeping_thread is made of: for those who read this process's memory
/// from outside (debug/layout.h).
struct live_layout {
  const void *timelines, *sleepers;  // pointers to the first ones
  std::uint32_t lists, list_size;    // of sleepers
  std::uint32_t next, previous, what, id, since_ns, thread, stack, one, several, lock;
};
[[nodiscard]] live_layout layout_of_live() noexcept;

/// Calls a function for each timeline that lives. It must neither take a lock nor drop a reference.
/// Context: holds a leaf lock, which makers of timelines wait for.
void visit_timelines(void (*visit)(timeline& line, void* context), void* context);
/// Calls a function for each thread that sleeps for a fence. As visit_timelines(); threads that are
/// about to sleep, or have been woken, wait for that lock.
void visit_sleeping_threads(void (*visit)(const sleeping_thread& thread, void* context),
                            void* context);

}  // namespace detail
}  // namespace ufence
