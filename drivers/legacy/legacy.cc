// The driver `legacy`: see legacy.h for its jobs.
#include "drivers/legacy/legacy.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <new>
#include <shared_mutex>

#include "ufence/driver.hpp"

namespace ufence::legacy {
namespace {

using driver::job;

/// The driver's data of a job: made by submit(), freed by release().
struct work {
  // The answer of enable_signaling and poll. Written with the lock held; poll() looks without it.
  std::atomic<int> result{0};
  // The rest is guarded by the lock.
  bool is_asked = false;  // enable_signaling() was called
  bool is_signaled = false;
  bool is_running = true;  // in running_
};

work& work_of(const job& j) noexcept { return *static_cast<work*>(j.driver_private[2]); }

class old_device {
 public:
  explicit old_device(driver::services host) noexcept : host_(host) {}

  int submit(job& j);
  int enable_signaling(job& j);
  int poll(job& j);
  void cancel(job& j);
  void lock(job&) { lock_.lock(); }
  void unlock(job&) { lock_.unlock(); }
  int wait(job& j, std::int64_t deadline_ns);
  void release(job& j);
  void stop() {}

 private:
  int complete(job& j);
  int query(job& j);
  void reset();
  void complete_locked(job& j, int error);
  void signal_locked(job& j);

  const driver::services host_;
  // Taken before lock_: by a reset alone, by waits together before they begin.
  std::shared_mutex exclusive_;
  std::mutex lock_;  // the external lock of all its fences; guards what follows
  std::condition_variable completed_;
  driver::job_list running_;
  ufence_legacy_counters counters_{};
  // Called without the lock: release() even by a signaling that holds it.
  std::atomic<std::uint64_t> polled_{0}, released_{0};
};

int old_device::submit(job& j) {
  switch (j.opcode) {
    case UFENCE_LEGACY_WORK: {
      j.driver_private[2] = new work;
      const std::scoped_lock guard(lock_);
      ++counters_.submitted;
      running_.push_back(j);
      return 0;
    }
    case UFENCE_LEGACY_COMPLETE:
      if (const int error = complete(j); error != 0) return error;
      break;
    case UFENCE_LEGACY_RESET: reset(); break;
    case UFENCE_LEGACY_QUERY:
      if (const int error = query(j); error != 0) return error;
      break;
    default: return -EINVAL;
  }
  host_.signal(j, 0);
  return 0;
}

int old_device::complete(job& j) {
  const auto* const args = driver::args_of<ufence_legacy_complete>(j);
  if (args == nullptr || args->reserved != 0 || args->error > 0 || args->error < -4095) {
    return -EINVAL;
  }
  const std::scoped_lock guard(lock_);
  for (std::uint64_t n = 0; n < args->jobs && !running_.empty(); ++n) {
    complete_locked(*running_.front(), args->error);
  }
  return 0;
}

int old_device::query(job& j) {
  const auto* const args = driver::args_of<ufence_legacy_query>(j);
  if (args == nullptr || args->counters == nullptr) return -EINVAL;
  const std::scoped_lock guard(lock_);
  *args->counters = counters_;
  // relaxed: counters
  args->counters->polled = polled_.load(std::memory_order_relaxed);
  args->counters->released = released_.load(std::memory_order_relaxed);
  for (const job* r = running_.front(); r != nullptr; r = driver::job_list::next(*r)) {
    ++args->counters->running;
  }
  return 0;
}

// The other lock first, as waits take them.
void old_device::reset() {
  const std::scoped_lock exclusive(exclusive_);
  const std::scoped_lock guard(lock_);
  ++counters_.resets;
  while (!running_.empty()) {
    job& j = *running_.front();
    work_of(j).is_asked = true;
    complete_locked(j, -EIO);
  }
}

void old_device::complete_locked(job& j, int error) {
  work& w = work_of(j);
  running_.remove(j);
  w.is_running = false;
  ++counters_.completed;
  // [LEGACY.1] release: what the device wrote, for a thread that polls without the lock; pairs with
  // [LEGACY.2]
  w.result.store(error != 0 ? error : 1, std::memory_order_release);
  completed_.notify_all();
  if (w.is_asked) signal_locked(j);
}

// Callbacks run here, under the lock.
void old_device::signal_locked(job& j) {
  work& w = work_of(j);
  if (w.is_signaled) return;
  w.is_signaled = true;
  // relaxed: written under the lock
  const int result = w.result.load(std::memory_order_relaxed);
  host_.signal_locked(j, result < 0 ? result : 0);
}

// The host holds the lock, and signals what is found complete.
int old_device::enable_signaling(job& j) {
  ++counters_.enabled;
  if (j.driver_private[2] == nullptr) return 0;  // not work
  work& w = work_of(j);
  w.is_asked = true;
  // relaxed: written under the lock
  const int result = w.result.load(std::memory_order_relaxed);
  if (result != 0) w.is_signaled = true;
  return result;
}

int old_device::poll(job& j) {
  // relaxed: a counter
  polled_.fetch_add(1, std::memory_order_relaxed);
  if (j.driver_private[2] == nullptr) return 0;
  // [LEGACY.2] acquire: see what the device wrote; pairs with [LEGACY.1]
  return work_of(j).result.load(std::memory_order_acquire);
}

void old_device::cancel(job& j) {
  if (j.driver_private[2] == nullptr) return;
  const std::scoped_lock guard(lock_);
  work& w = work_of(j);
  if (w.is_running) {
    ++counters_.cancelled;
    w.is_asked = true;
    complete_locked(j, -ECANCELED);
  } else {
    signal_locked(j);
  }
}

int old_device::wait(job& j, std::int64_t deadline_ns) {
  // No wait begins in the middle of a reset; one that waits already does not keep it from ending.
  { const std::shared_lock shared(exclusive_); }
  std::unique_lock guard(lock_);
  ++counters_.waited;
  if (j.driver_private[2] == nullptr) return 0;
  work& w = work_of(j);
  // relaxed: written under the lock
  const auto is_complete = [&w] { return w.result.load(std::memory_order_relaxed) != 0; };
  if (deadline_ns == INT64_MAX) {
    completed_.wait(guard, is_complete);
  } else {
    const std::chrono::steady_clock::time_point deadline{std::chrono::nanoseconds(deadline_ns)};
    if (!completed_.wait_until(guard, deadline, is_complete)) return -ETIME;
  }
  signal_locked(j);
  return 0;
}

void old_device::release(job& j) {
  if (j.driver_private[2] == nullptr) return;
  delete &work_of(j);
  // relaxed: a counter
  released_.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace
}  // namespace ufence::legacy

UFENCE_CPP_DRIVER(ufence::legacy::old_device, "legacy", "old ring", "works as of old");
