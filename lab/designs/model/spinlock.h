// A lock of a driver or of a design: without a rank, as it is none of the product's.
#pragma once

#include <cstdint>
#include <source_location>

#include "lab/engine/hooks.h"

namespace ufence::lab {

class spinlock {
  using site = std::source_location;

 public:
  explicit spinlock(site where = site::current()) noexcept {
    if (hooks::in_model()) hooks::construct(&word_, sizeof word_, 0, where);
  }
  spinlock(const spinlock&) = delete;
  spinlock& operator=(const spinlock&) = delete;

  void lock(site where = site::current()) noexcept { hooks::lock(&word_, where); }
  void unlock(site where = site::current()) noexcept { hooks::unlock(&word_, where); }

 private:
  std::uint32_t word_ = 0;
};

/// Holds a lock while it lives.
class holding {
  using site = std::source_location;

 public:
  explicit holding(spinlock& lock, site where = site::current()) : lock_(lock), where_(where) {
    lock_.lock(where);
  }
  ~holding() { lock_.unlock(where_); }
  holding(const holding&) = delete;
  holding& operator=(const holding&) = delete;

 private:
  spinlock& lock_;
  site where_;
};

}  // namespace ufence::lab
