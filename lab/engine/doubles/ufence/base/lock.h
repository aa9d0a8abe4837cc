// Double of ufence/base/lock.h for the lab.
#pragma once

#include <cstdint>
#include <source_location>

#include "lab/engine/hooks.h"
#include "ufence/base/api.h"
#include "ufence/base/lock_rank.h"

namespace ufence {

class UFENCE_CAPABILITY("mutex") mutex {
  using site = std::source_location;

 public:
  constexpr explicit mutex(lock_rank rank, site where = site::current()) noexcept : rank_(rank) {
    if
      !consteval {
        if (lab::hooks::in_model()) lab::hooks::construct(this, sizeof word_, 0, where);
      }
  }
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;

  void lock(site where = site::current()) noexcept UFENCE_ACQUIRE() {
    rank_acquire(rank_);
    lab::hooks::lock(&word_, where);
  }
  void unlock(site where = site::current()) noexcept UFENCE_RELEASE() {
    lab::hooks::unlock(&word_, where);
    rank_release(rank_);
  }

  // A scenario does not fork.
  void lock_for_fork() noexcept {}
  void unlock_after_fork() noexcept {}

 private:
  std::uint32_t word_ = 0;
  const lock_rank rank_;
};

class UFENCE_SCOPED_CAPABILITY scoped_lock {
  using site = std::source_location;

 public:
  explicit scoped_lock(mutex& m, site where = site::current()) noexcept UFENCE_ACQUIRE(m)
      : mutex_(m), where_(where) {
    mutex_.lock(where);
  }
  ~scoped_lock() UFENCE_RELEASE() { mutex_.unlock(where_); }
  scoped_lock(const scoped_lock&) = delete;
  scoped_lock& operator=(const scoped_lock&) = delete;

 private:
  mutex& mutex_;
  site where_;
};

}  // namespace ufence
