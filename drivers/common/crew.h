// The threads of a driver, and the lock that guards what they share with its ops.
//
// A thread's member function takes `mutex` and, until `stopping`, waits on `changed`; at its end, with
// the mutex held, it calls leave(). It does not touch the driver's object after that, so stop() may
// return.
#pragma once

#include <condition_variable>
#include <mutex>

#include "ufence/driver.hpp"

namespace ufence::driver {

struct crew {
  std::mutex mutex;
  std::condition_variable changed;
  bool stopping = false;
  unsigned inside = 0;  // threads that may touch the driver's object

  /// In start(): a thread that runs (object.*Member)(). 0, or an error of the load.
  template <auto Member, class T>
  [[nodiscard]] int hire(const services& host, const char* name, T& object) {
    {
      const std::scoped_lock lock(mutex);
      ++inside;
    }
    const int error = host.start_thread<Member>(name, object);
    if (error != 0) {
      const std::scoped_lock lock(mutex);
      --inside;
    }
    return error;
  }
  void leave() noexcept {
    --inside;
    changed.notify_all();
  }
  /// In stop(): on return all have left.
  void dismiss() {
    std::unique_lock lock(mutex);
    stopping = true;
    changed.notify_all();
    changed.wait(lock, [this] { return inside == 0; });
  }
};

}  // namespace ufence::driver
