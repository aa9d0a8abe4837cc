// A mutex with a rank, known to Clang's thread-safety analysis and to race detectors. A model
// checker's double stands earlier on the include path.
#pragma once

#include <mutex>

#include "ufence/base/api.h"
#include "ufence/base/lock_rank.h"

namespace ufence {

/// A short lock: held for a few instructions, never over foreign code.
class UFENCE_CAPABILITY("mutex") mutex {
 public:
  constexpr explicit mutex(lock_rank rank) noexcept : rank_(rank) {}
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;

  void lock() noexcept UFENCE_ACQUIRE() {
    rank_acquire(rank_);
    mutex_.lock();
  }
  void unlock() noexcept UFENCE_RELEASE() {
    mutex_.unlock();
    rank_release(rank_);
  }

  /// For fork handlers, which take many locks in the order of their registration.
  void lock_for_fork() noexcept UFENCE_NO_TSA { mutex_.lock(); }
  void unlock_after_fork() noexcept UFENCE_NO_TSA { mutex_.unlock(); }

 private:
  std::mutex mutex_;
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
