// A mutex with a rank, known to Clang's thread-safety analysis and to race detectors. A model
// checker's double stands earlier on the include path.
#pragma once

#include "ufence/base/api.h"
#include "ufence/base/lock_rank.h"
#include "ufence/base/lock_word.h"

namespace ufence {

/// A short lock: held for a few instructions, never over foreign code. A child of fork() can always
/// take it (lock_word.h).
class UFENCE_CAPABILITY("mutex") mutex {
 public:
  constexpr explicit mutex(lock_rank rank) noexcept : rank_(rank) {}
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;

  void lock() noexcept UFENCE_ACQUIRE() {
    rank_acquire(rank_);
    word_.lock();
  }
  void unlock() noexcept UFENCE_RELEASE() {
    // Once the lock is free its next holder may free the memory that it lies in.
    const lock_rank rank = rank_;
    word_.unlock();
    rank_release(rank);
  }

  /// For fork handlers (fork.h).
  void lock_for_fork() noexcept UFENCE_NO_TSA { word_.lock(); }
  void unlock_after_fork() noexcept UFENCE_NO_TSA { word_.unlock(); }

 private:
  lock_word word_;
  const lock_rank rank_;
};

/// Holds a mutex for a scope.
class UFENCE_SCOPED_CAPABILITY scoped_lock {
 public:
  explicit scoped_lock(mutex& m) noexcept UFENCE_ACQUIRE(m) : mutex_(m) { mutex_.lock(); }
  ~scoped_lock() UFENCE_RELEASE() { mutex_.unlock(); }
  scoped_lock(const scoped_lock&) = delete;
  scoped_lock& operator=(const scoped_lock&) = delete;

 private:
  mutex& mutex_;
};

}  // namespace ufence
