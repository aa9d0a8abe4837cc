// The driver `evict`: see evict.h for its jobs, and README.md.
#include "drivers/evict/evict.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <map>
#include <mutex>
#include <new>
#include <vector>

#include "drivers/common/crew.h"
#include "ufence/driver.hpp"

namespace ufence::evict {
namespace {

using driver::job;
using driver::job_list;

struct buffer {
  job* resident = nullptr;  // its eviction fence; null: evicted, detached, or never there
  std::uint8_t* bytes = nullptr;
  bool is_asked = false;  // for the eviction
  bool is_saved = false;  // `saved` has its bytes
  std::vector<std::uint8_t> saved;
  job_list works;  // in order
  bool is_busy = false;  // the worker uses `bytes`, without the lock
};

// Jobs that wait have their buffer in driver_private[2].
buffer* buffer_of(const job& j) noexcept { return static_cast<buffer*>(j.driver_private[2]); }

class memory_manager {
 public:
  explicit memory_manager(driver::services host) noexcept : host_(host) {}

  int start() { return crew_.hire<&memory_manager::work>(host_, "evict", *this); }
  int submit(job& j);
  int enable_signaling(job& j);
  void cancel(job& j);
  void stop() { crew_.dismiss(); }

 private:
  int make_resident(job& j);
  int query(job& j);
  void work() noexcept;
  [[nodiscard]] buffer* next_locked() noexcept;
  void run_locked(std::unique_lock<std::mutex>& lock, buffer& b);
  void evict_locked(std::unique_lock<std::mutex>& lock, buffer& b);
  void end_locked(job& j, int error, driver::settlement& later);

  const driver::services host_;
  driver::crew crew_;  // its mutex guards what follows
  std::map<std::uint64_t, buffer> buffers_;
  ufence_evict_counters counters_{};
};

int memory_manager::submit(job& j) {
  if (j.opcode == UFENCE_EVICT_RESIDENT) return make_resident(j);
  if (j.opcode == UFENCE_EVICT_QUERY) return query(j);
  if (j.opcode != UFENCE_EVICT_WORK && j.opcode != UFENCE_EVICT_DETACH) return -EINVAL;
  const auto* const args = driver::args_of<ufence_evict_work>(j);
  if (args == nullptr) return -EINVAL;
  driver::settlement later = host_.later();
  std::unique_lock lock(crew_.mutex);
  const auto found = buffers_.find(args->id);
  if (found == buffers_.end()) return -ENOENT;
  buffer& b = found->second;
  if (j.opcode == UFENCE_EVICT_WORK) {
    j.driver_private[2] = &b;
    b.works.push_back(j);
    crew_.changed.notify_all();
    return 0;
  }
  // The device must not be at the bytes when their owner has them back (D-6).
  crew_.changed.wait(lock, [&b] { return !b.is_busy; });
  if (b.resident != nullptr) {
    ++counters_.detached;
    end_locked(*b.resident, 0, later);
  }
  host_.decide(j, 0, later);
  return 0;
}

int memory_manager::make_resident(job& j) {
  const auto* const args = driver::args_of<ufence_evict_buffer>(j);
  if (args == nullptr || args->bytes == nullptr || args->size == 0) return -EINVAL;
  const std::scoped_lock lock(crew_.mutex);
  buffer& b = buffers_[args->id];
  if (b.resident != nullptr) return -EEXIST;
  if (!b.saved.empty() && b.saved.size() != args->size) return -EINVAL;
  // The room for an eviction is there before the fence is: an eviction can't fail.
  b.saved.resize(args->size);
  if (b.is_saved) {
    std::ranges::copy(b.saved, args->bytes);
    b.is_saved = false;
    ++counters_.restores;
  }
  b.bytes = args->bytes;
  b.is_asked = false;
  b.resident = &j;
  j.driver_private[2] = &b;
  crew_.changed.notify_all();
  return 0;
}

int memory_manager::query(job& j) {
  const auto* const args = driver::args_of<ufence_evict_query>(j);
  if (args == nullptr || args->counters == nullptr) return -EINVAL;
  {
    const std::scoped_lock lock(crew_.mutex);
    *args->counters = counters_;
  }
  host_.signal(j, 0);
  return 0;
}

// Only schedules: an op neither waits nor evicts (D-15).
int memory_manager::enable_signaling(job& j) {
  const std::scoped_lock lock(crew_.mutex);
  buffer* const b = buffer_of(j);
  if (b == nullptr || b->resident != &j) return 0;
  ++counters_.asked;
  b->is_asked = true;
  crew_.changed.notify_all();
  return 0;
}

// A buffer with something to do: the works of its queue first, then its eviction.
buffer* memory_manager::next_locked() noexcept {
  for (auto& [id, b] : buffers_) {
    if (b.resident != nullptr && (!b.works.empty() || b.is_asked)) return &b;
  }
  return nullptr;
}

void memory_manager::work() noexcept {
  std::unique_lock lock(crew_.mutex);
  while (!crew_.stopping) {
    buffer* const b = next_locked();
    if (b == nullptr) {
      crew_.changed.wait(lock);
    } else if (!b->works.empty()) {
      run_locked(lock, *b);
    } else {
      evict_locked(lock, *b);
    }
  }
  crew_.leave();
}

void memory_manager::run_locked(std::unique_lock<std::mutex>& lock, buffer& b) {
  job& j = *b.works.pop_front();
  j.driver_private[2] = nullptr;
  const auto add = static_cast<std::uint8_t>(driver::args_of<ufence_evict_work>(j)->add);
  b.is_busy = true;
  lock.unlock();
  for (std::size_t i = 0; i < b.saved.size(); ++i) {
    b.bytes[i] = static_cast<std::uint8_t>(b.bytes[i] + add);
  }
  {
    const std::scoped_lock count(crew_.mutex);
    ++counters_.works;  // before the signal: a thread that waited for it finds the work counted
  }
  host_.signal(j, 0);
  lock.lock();
  b.is_busy = false;
  crew_.changed.notify_all();
}

// A signalling section: nothing here allocates, or waits for a fence.
void memory_manager::evict_locked(std::unique_lock<std::mutex>& lock, buffer& b) {
  driver::settlement later = host_.later();
  b.is_busy = true;
  lock.unlock();
  std::copy_n(b.bytes, b.saved.size(), b.saved.begin());
  std::fill_n(b.bytes, b.saved.size(), std::uint8_t{0});
  lock.lock();
  b.is_busy = false;
  b.is_saved = true;
  ++counters_.evictions;
  end_locked(*b.resident, 0, later);
  crew_.changed.notify_all();
  lock.unlock();
  later.settle();
  lock.lock();
}

// The decision is the last use: an op that is inside finds nothing in the job.
void memory_manager::end_locked(job& j, int error, driver::settlement& later) {
  buffer& b = *buffer_of(j);
  j.driver_private[2] = nullptr;
  if (b.resident == &j) {
    b.resident = nullptr;
    b.bytes = nullptr;
  } else {
    b.works.remove(j);
  }
  host_.decide(j, error, later);
}

void memory_manager::cancel(job& j) {
  driver::settlement later = host_.later();
  std::unique_lock lock(crew_.mutex);
  if (buffer* const b = buffer_of(j); b != nullptr && b->resident == &j) {
    crew_.changed.wait(lock, [b] { return !b->is_busy; });
  }
  // Meanwhile it may have been evicted.
  if (buffer_of(j) != nullptr) end_locked(j, -ECANCELED, later);
}

}  // namespace
}  // namespace ufence::evict

UFENCE_CPP_DRIVER(ufence::evict::memory_manager, "evict", "eviction", "buffers until eviction");
