// The threads of a driver: started for it, joined after its stop() (D-8).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ufence/base/api.h"
#include "ufence/base/atomic.h"
#include "ufence/base/lock.h"
#include "ufence/issuer/host.h"

namespace ufence::detail {

/// Threads: any. Lock rank: device.
class driver_threads {
 public:
  explicit driver_threads(device::impl& of) noexcept : of_(of) {}
  ~driver_threads();
  driver_threads(const driver_threads&) = delete;
  driver_threads& operator=(const driver_threads&) = delete;

  /// 0; -EAGAIN, -ENOMEM, -EINVAL; -ESHUTDOWN once closed.
  [[nodiscard]] int start(const char* name, void (*function)(void*), void* argument) noexcept;
  /// Starts no more.
  void close() noexcept;
  /// After close(): waits until all have ended, thread_local destructors too, and forgets them.
  /// One of them may call it, if it calls exit(): nobody waits for that one.
  /// @return  true; false some have not by then: see names()
  [[nodiscard]] bool join_all(std::int64_t deadline_ns) noexcept;
  /// Nobody will ask for those that have not been joined any more.
  void abandon() noexcept;
  /// Of those that have not been joined.
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  struct thread;
  static void* run(void* argument);
  void insert(thread& t) noexcept;
  void remove(thread& t) noexcept;
  void join_ended() noexcept;
  [[nodiscard]] static bool join(thread& t, std::int64_t deadline_ns) noexcept;

  device::impl& of_;
  mutable mutex lock_{lock_rank::device};
  thread* first_ UFENCE_GUARDED_BY(lock_) = nullptr;
  bool is_closed_ UFENCE_GUARDED_BY(lock_) = false;
};

}  // namespace ufence::detail
