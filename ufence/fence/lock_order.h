// The order of locks of programs and modules, with the signalling section as one of them: checked in debug
// builds of the library, before it hangs.
//
// Locks of one kind are one class. Taking one while others are held is an order: those before this one. A wait
// for a fence while locks are held says "these before the signalling section", for the wait ends only when the
// section has; a lock taken inside a section says the opposite. An order that closes a circle is reported once
// (report_kind::lock_order), with the place where each of its orders was seen first: then two threads may wait
// for each other, though these did not.
#pragma once

#include <cstdint>

#include "ufence/base/api.h"
#include "ufence/base/atomic.h"

namespace ufence {

/// All locks of one kind: a static object. The name stays as long as it does; the library keeps it, so a module
/// that may be unloaded names its classes with literals and never goes, or leaves them to the program.
class UFENCE_API lock_class {
 public:
  constexpr explicit lock_class(const char* name) noexcept : name_(name) {}
  lock_class(const lock_class&) = delete;
  lock_class& operator=(const lock_class&) = delete;
  [[nodiscard]] const char* name() const noexcept { return name_; }

  /// This thread is about to take a lock of the class, and waits for it if it must. Two of one class at once
  /// are not told apart. In other builds than debug builds all of these do nothing.
  /// Threads: any. Blocks: never. Allocates: never, but for the report.
  void note_taken() noexcept;
  /// It has taken one without waiting, so that no order follows.
  void note_tried() noexcept;
  void note_dropped() noexcept;

 private:
  friend struct lock_order_access;
  const char* const name_;
  atomic<std::uint32_t> number_{0};  // from 1 on, with the first use; 64: there was no room, it is not watched
};

/// A mutex whose order is watched. `Mutex` has lock(), try_lock() and unlock().
template <class Mutex>
class ordered_mutex {
 public:
  explicit ordered_mutex(lock_class& kind) noexcept : kind_(kind) {}
  void lock() {
    kind_.note_taken();
    mutex_.lock();
  }
  [[nodiscard]] bool try_lock() {
    if (!mutex_.try_lock()) return false;
    kind_.note_tried();
    return true;
  }
  void unlock() {
    mutex_.unlock();
    kind_.note_dropped();
  }

 private:
  Mutex mutex_;
  lock_class& kind_;
};

namespace detail {
/// A signalling section begins or ends on this thread; it waits for a fence. Debug builds alone.
void order_section_begins() noexcept;
void order_section_ends() noexcept;
void order_wait() noexcept;
}  // namespace detail

}  // namespace ufence
