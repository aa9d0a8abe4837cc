// The locks of the layer: a mutex of the C++ library with the annotations of ours, whose own are
// libufence's alone. Inside the layer only.
#pragma once

#include <mutex>

#include "ufence/base/api.h"

namespace ufence::detail {

class UFENCE_CAPABILITY("mutex") net_mutex {
 public:
  void lock() UFENCE_ACQUIRE() { mutex_.lock(); }
  void unlock() UFENCE_RELEASE() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

class UFENCE_SCOPED_CAPABILITY net_lock {
 public:
  explicit net_lock(net_mutex& m) UFENCE_ACQUIRE(m) : mutex_(m) { mutex_.lock(); }
  ~net_lock() UFENCE_RELEASE() { mutex_.unlock(); }
  net_lock(const net_lock&) = delete;
  net_lock& operator=(const net_lock&) = delete;

 private:
  net_mutex& mutex_;
};

}  // namespace ufence::detail
