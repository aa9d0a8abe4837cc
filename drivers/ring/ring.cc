// The driver `ring`: see ring.h for its jobs, and README.md.
#include "drivers/ring/ring.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <mutex>

#include "drivers/common/crew.h"
#include "ufence/driver.hpp"

namespace ufence::ring {
namespace {

using driver::job;
using driver::job_list;

constexpr std::uint64_t slot_count = 64;  // a power of two
constexpr std::chrono::milliseconds look_every{2};
constexpr int looks_until_reset = 5;  // without progress

class engine {
 public:
  static constexpr bool is_timeline = true;

  explicit engine(driver::services host) noexcept : host_(host) {}

  int start();
  int submit(job& j);
  void cancel(job& j);
  void stop() { crew_.dismiss(); }

 private:
  // Where a copy is: its driver_private[2].
  static constexpr int marks[2] = {};
  static void mark(job& j, const int* where) noexcept {
    j.driver_private[2] = const_cast<int*>(where);
  }
  static constexpr const int* waits = &marks[0];    // for a slot
  static constexpr const int* is_in = &marks[1];    // a slot

  [[nodiscard]] job*& slot_of(std::uint64_t n) noexcept { return slots_[n & (slot_count - 1)]; }
  void run() noexcept;
  void watch() noexcept;
  void fill_locked() noexcept;
  void complete_locked(job& j, int error, bool is_told, driver::settlement& later);

  const driver::services host_;
  driver::crew crew_;  // its mutex guards what follows
  job_list waiting_;   // for a slot
  std::array<job*, slot_count> slots_{};
  std::uint64_t emitted_ = 0, done_ = 0;  // numbers of copies; those between are in slots
  bool is_hung_ = false;                  // at the job of slot done_
  std::uint32_t told_ = 0;                // the seqno of the last interrupt, or look
  ufence_ring_counters counters_{};
  // The word that the device writes; the host reads it at any time, until the timeline is retired.
  alignas(64) volatile std::uint32_t word_ = 0;
};

int engine::start() {
  if (const int error = host_.device_word(&word_); error != 0) return error;
  if (const int error = crew_.hire<&engine::run>(host_, "ring engine", *this); error != 0) {
    return error;
  }
  return crew_.hire<&engine::watch>(host_, "ring fallback", *this);
}

int engine::submit(job& j) {
  switch (j.opcode) {
    case UFENCE_RING_COPY: {
      constexpr std::uint32_t known = UFENCE_RING_LOSE_INTERRUPT | UFENCE_RING_HANG;
      const auto* const args = driver::args_of<ufence_ring_copy>(j);
      if (args == nullptr || (args->flags & ~known) != 0 || args->reserved != 0 ||
          (args->size != 0 && (args->to == nullptr || args->from == nullptr))) {
        return -EINVAL;
      }
      const std::scoped_lock lock(crew_.mutex);
      mark(j, waits);
      waiting_.push_back(j);
      fill_locked();
      if (j.driver_private[2] == waits) ++counters_.waited;
      crew_.changed.notify_all();
      return 0;
    }
    case UFENCE_RING_QUERY: {
      const auto* const args = driver::args_of<ufence_ring_query>(j);
      if (args == nullptr || args->counters == nullptr) return -EINVAL;
      {
        const std::scoped_lock lock(crew_.mutex);
        *args->counters = counters_;
      }
      host_.signal(j, 0);
      return 0;
    }
    default: return -EINVAL;
  }
}

// A slot is used again when the job of one round before has left it.
void engine::fill_locked() noexcept {
  while (emitted_ - done_ < slot_count) {
    job* const j = waiting_.pop_front();
    if (j == nullptr) return;
    mark(*j, is_in);
    slot_of(emitted_++) = j;
  }
}

// Jobs that the ring has can't be taken back, but for a job that hangs: that is reset at once.
void engine::cancel(job& j) {
  driver::settlement later = host_.later();
  const std::scoped_lock lock(crew_.mutex);
  if (j.driver_private[2] == waits) {
    waiting_.remove(j);
    mark(j, nullptr);
    host_.decide(j, -ECANCELED, later);
  } else if (is_hung_ && slot_of(done_) == &j) {
    ++counters_.resets;
    complete_locked(j, -ECANCELED, true, later);
  }
}

// The word says that all up to it succeeded: one that did not is decided by itself before.
void engine::complete_locked(job& j, int error, bool is_told, driver::settlement& later) {
  const auto seqno = static_cast<std::uint32_t>(j.seqno);
  is_hung_ = false;
  slot_of(done_++) = nullptr;
  mark(j, nullptr);
  if (error != 0) host_.decide(j, error, later);
  // seq_cst: the device's write, for a thread that looks at the word
  __atomic_store_n(&word_, seqno, __ATOMIC_SEQ_CST);
  fill_locked();
  crew_.changed.notify_all();
  if (!is_told) return;
  told_ = seqno;
  host_.decide_notify(later);
}

void engine::run() noexcept {
  std::unique_lock lock(crew_.mutex);
  while (!crew_.stopping) {
    if (emitted_ == done_ || is_hung_) {
      crew_.changed.wait(lock);
      continue;
    }
    job& j = *slot_of(done_);
    const ufence_ring_copy args = *driver::args_of<ufence_ring_copy>(j);
    if ((args.flags & UFENCE_RING_HANG) != 0) {
      is_hung_ = true;
      continue;
    }
    // The job stays where it is meanwhile: nobody else completes it.
    lock.unlock();
    if (args.size != 0) std::memcpy(args.to, args.from, args.size);
    {
      driver::settlement later = host_.later();
      lock.lock();
      const bool is_told = (args.flags & UFENCE_RING_LOSE_INTERRUPT) == 0;
      ++counters_.copies;
      if (is_told) ++counters_.interrupts;
      complete_locked(j, 0, is_told, later);
      lock.unlock();
    }
    lock.lock();
  }
  crew_.leave();
}

// The fallback timer.
void engine::watch() noexcept {
  std::unique_lock lock(crew_.mutex);
  std::uint64_t seen = 0;
  int looks = 0;
  auto next = std::chrono::steady_clock::now() + look_every;
  while (!crew_.stopping) {
    if (crew_.changed.wait_until(lock, next) == std::cv_status::no_timeout) continue;
    next = std::chrono::steady_clock::now() + look_every;
    looks = done_ == seen && is_hung_ ? looks + 1 : 0;
    seen = done_;
    driver::settlement later = host_.later();
    if (looks >= looks_until_reset) {
      looks = 0;
      ++counters_.resets;
      complete_locked(*slot_of(done_), -ETIMEDOUT, true, later);
    } else if (told_ != word_) {
      told_ = word_;
      ++counters_.fallbacks;
      host_.decide_notify(later);
    }
    lock.unlock();
    later.settle();
    lock.lock();
  }
  crew_.leave();
}

}  // namespace
}  // namespace ufence::ring

UFENCE_CPP_DRIVER(ufence::ring::engine, "ring", "copy engine", "one hardware ring that copies");
