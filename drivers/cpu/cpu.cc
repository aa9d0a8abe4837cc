// The driver `cpu`: see cpu.h for its jobs.
//
// One queue, worker threads. A worker takes as many jobs at a time as leaves the other workers
// their share, up to a bound in bytes that keeps the delay of the first one's completion small, and
// settles them together: what waits for several is woken once. Jobs are queued through their own
// memory.
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <system_error>
#include <utility>

#include "drivers/cpu/cpu.h"
#include "drivers/cpu/sha256.h"
#include "ufence/driver.hpp"

namespace ufence::cpu {
namespace {

using driver::job;
using driver::job_list;
using driver::services;

constexpr std::uint64_t batch_jobs_max = 16;
constexpr std::uint64_t batch_bytes_max = 256 * 1024;  // some 0.2 ms of one worker

// A job's driver_private[2]: null, or this address while it is in queue_ and may be cancelled.
int queued_mark;

bool is_queued(const job& j) noexcept { return j.driver_private[2] == &queued_mark; }

std::uint64_t bytes_of(const ufence_cpu_sha256_update& update) noexcept {
  return update.size_from != nullptr ? *update.size_from : update.size;
}

bool is_valid(const ufence_cpu_sha256_update* update) noexcept {
  constexpr std::uint32_t known = UFENCE_CPU_FIRST | UFENCE_CPU_LAST;
  return update != nullptr && update->state != nullptr && update->reserved == 0 &&
         (update->flags & ~known) == 0 && (update->data != nullptr || update->size == 0) &&
         (update->digest != nullptr || (update->flags & UFENCE_CPU_LAST) == 0);
}

// Lock: mutex_, never held over a call of the host. configuring_ is taken first.
class cpu_driver {
 public:
  static constexpr const char* interface_name = UFENCE_CPU_INTERFACE;
  static constexpr std::uint32_t interface_version = UFENCE_CPU_INTERFACE_VERSION;
  static constexpr ufence_option options[] = {{"workers", "1", "how many threads take updates, 1 to 256"}};

  explicit cpu_driver(services host) noexcept : host_(host) {}

  int start();
  int submit(job& j);
  void cancel(job& j);
  void stop();

 private:
  // A batch: what it takes from the queue, and what it did.
  struct batch {
    job_list jobs;
    std::uint64_t updates = 0, bytes = 0;
  };

  int submit_update(job& j);
  int set_workers(std::uint32_t wanted);
  ufence_cpu_counters counters();

  void work() noexcept;
  bool wait_for_jobs(std::unique_lock<std::mutex>& lock, std::uint32_t worker);
  batch take_locked();
  void run(batch& b);
  static int hash(const ufence_cpu_sha256_update& update, batch& b);

  services host_;
  std::mutex configuring_;  // one configuration at a time
  std::mutex mutex_;        // guards what follows
  std::condition_variable has_jobs_, has_place_, left_;
  job_list queue_;
  std::uint64_t queued_ = 0;    // in queue_
  std::uint32_t workers_ = 0;   // that take jobs; those with a higher number are parked
  std::uint32_t started_ = 0;   // threads
  std::uint32_t numbered_ = 0;  // threads that have their number
  std::uint32_t inside_ = 0;    // threads that may touch this object
  bool stopping_ = false;
  ufence_cpu_counters counters_{};
};

int cpu_driver::start() {
  const std::string_view text = host_.option("workers");
  std::uint32_t workers = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), workers);
  if (error != std::errc() || end != text.data() + text.size() || workers < 1 ||
      workers > UFENCE_CPU_WORKERS_MAX) {
    host_.report("workers is a number from 1 to 256");
    return -EINVAL;
  }
  return set_workers(workers);
}

int cpu_driver::submit(job& j) {
  switch (j.opcode) {
    case UFENCE_CPU_SHA256: return submit_update(j);
    case UFENCE_CPU_CONFIGURE: {
      const auto* const args = driver::args_of<ufence_cpu_configure>(j);
      if (args == nullptr || args->reserved != 0) return -EINVAL;
      if (args->workers == 0 || args->workers > UFENCE_CPU_WORKERS_MAX) return -EINVAL;
      const int error = set_workers(args->workers);
      if (error != 0) return error;
      host_.signal(j, 0);
      return 0;
    }
    case UFENCE_CPU_QUERY: {
      const auto* const args = driver::args_of<ufence_cpu_query>(j);
      if (args == nullptr || args->counters == nullptr) return -EINVAL;
      *args->counters = counters();
      host_.signal(j, 0);
      return 0;
    }
    default: return -EINVAL;
  }
}

int cpu_driver::submit_update(job& j) {
  if (!is_valid(driver::args_of<ufence_cpu_sha256_update>(j))) return -EINVAL;
  {
    const std::scoped_lock lock(mutex_);
    if (stopping_) return -ESHUTDOWN;
    j.driver_private[2] = &queued_mark;
    queue_.push_back(j);
    ++queued_;
  }
  has_jobs_.notify_one();  // no system call if no worker sleeps
  return 0;
}

void cpu_driver::cancel(job& j) {
  {
    const std::scoped_lock lock(mutex_);
    if (!is_queued(j)) return;  // a worker has it, and finishes it soon
    queue_.remove(j);
    j.driver_private[2] = nullptr;
    --queued_;
    ++counters_.cancelled;
  }
  host_.signal(j, -ECANCELED);
}

void cpu_driver::stop() {
  driver::settlement later = host_.later();
  std::unique_lock lock(mutex_);
  stopping_ = true;
  while (job* const j = queue_.pop_front()) {
    j->driver_private[2] = nullptr;
    ++counters_.cancelled;
    host_.decide(*j, -ECANCELED, later);
  }
  queued_ = 0;
  has_jobs_.notify_all();
  has_place_.notify_all();
  left_.wait(lock, [this] { return inside_ == 0; });
}

ufence_cpu_counters cpu_driver::counters() {
  const std::scoped_lock lock(mutex_);
  ufence_cpu_counters result = counters_;
  result.workers = workers_;
  return result;
}

int cpu_driver::set_workers(std::uint32_t wanted) {
  const std::scoped_lock one_at_a_time(configuring_);
  std::unique_lock lock(mutex_);
  while (started_ < wanted) {
    ++started_;
    ++inside_;
    lock.unlock();
    const int error = host_.start_thread<&cpu_driver::work>("ufence-cpu", *this);
    lock.lock();
    if (error == 0) continue;
    --started_;
    --inside_;
    workers_ = started_;
    has_place_.notify_all();
    return error;
  }
  workers_ = wanted;
  // Those that get a place, and those that sleep and lose theirs, look again.
  has_place_.notify_all();
  has_jobs_.notify_all();
  return 0;
}

void cpu_driver::work() noexcept {
  std::unique_lock lock(mutex_);
  const std::uint32_t worker = numbered_++;
  while (wait_for_jobs(lock, worker)) {
    batch b = take_locked();
    lock.unlock();
    run(b);
    lock.lock();
  }
  --inside_;
  left_.notify_all();
}

// True: there are jobs, and a place for this worker. False: stop() was called.
bool cpu_driver::wait_for_jobs(std::unique_lock<std::mutex>& lock, std::uint32_t worker) {
  for (;;) {
    if (stopping_) return false;
    if (worker >= workers_) {
      has_place_.wait(lock);
    } else if (!queue_.empty()) {
      return true;
    } else {
      has_jobs_.wait(lock);
    }
  }
}

cpu_driver::batch cpu_driver::take_locked() {
  batch taken;
  const std::uint64_t share = std::max<std::uint64_t>(1, queued_ / workers_);
  std::uint64_t jobs = 0;
  std::uint64_t bytes = 0;
  while (jobs < std::min(share, batch_jobs_max) && bytes < batch_bytes_max) {
    job& j = *queue_.pop_front();
    j.driver_private[2] = nullptr;
    bytes += bytes_of(*driver::args_of<ufence_cpu_sha256_update>(j));
    taken.jobs.push_back(j);
    ++jobs;
  }
  queued_ -= jobs;
  return taken;
}

// Hashes first and decides then: a consumer that waits for several of them is woken once, and finds
// them counted.
void cpu_driver::run(batch& b) {
  for (job* j = b.jobs.front(); j != nullptr; j = job_list::next(*j)) {
    const int error = hash(*driver::args_of<ufence_cpu_sha256_update>(*j), b);
    j->driver_private[3] = error == 0 ? nullptr : j;
  }
  {
    const std::scoped_lock lock(mutex_);
    counters_.updates += b.updates;
    counters_.bytes += b.bytes;
  }
  driver::settlement later = host_.later();
  while (job* const j = b.jobs.pop_front()) {
    host_.decide(*j, j->driver_private[3] == nullptr ? 0 : -EOVERFLOW, later);
  }
}

int cpu_driver::hash(const ufence_cpu_sha256_update& update, batch& b) {
  const std::uint64_t size = bytes_of(update);
  if (size > update.size) return -EOVERFLOW;
  if ((update.flags & UFENCE_CPU_FIRST) != 0) sha256_begin(*update.state);
  sha256_update(*update.state, {static_cast<const std::byte*>(update.data), size});
  if ((update.flags & UFENCE_CPU_LAST) != 0) sha256_end(*update.state, update.digest);
  ++b.updates;
  b.bytes += size;
  return 0;
}

}  // namespace
}  // namespace ufence::cpu

UFENCE_CPP_DRIVER(ufence::cpu::cpu_driver, "cpu", "sha256", "SHA-256 on worker threads");
