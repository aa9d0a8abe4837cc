// The driver `sim`: a ring that runs its jobs one after the other, and completes them by writing
// their seqnos to a word in memory. See sim.h for its jobs.
#include "drivers/sim/sim.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <mutex>
#include <new>

#include "drivers/sim/simulator.h"
#include "ufence/driver.hpp"

namespace ufence::sim {
namespace {

constexpr std::uint64_t never = UINT64_MAX;

// A job's behaviour lies on the heap until the job completes, is cancelled, or the device stops.
behaviour& behaviour_of(const job& j) noexcept {
  return *static_cast<behaviour*>(j.driver_private[2]);
}

class ring final : public simulator {
 public:
  static constexpr bool is_timeline = true;

  explicit ring(driver::services host) noexcept : simulator(host) {}

  int start() { return host_.device_word(&word_); }
  int submit(job& j);
  void cancel(job& j);
  void stop();
  void request_notify(std::uint64_t seqno);
  void set_deadline(std::int64_t deadline_ns);
  void retire_timeline();

 private:
  void tick_locked(driver::settlement& later) override;
  bool is_busy_locked() const noexcept override;
  void release_locked() noexcept override;
  void count_locked(ufence_sim_counters& counters) const noexcept override;

  void complete_locked(driver::settlement& later);
  void look_locked(driver::settlement& later);
  void forget_locked(job& j) noexcept;

  driver::job_list running_;               // the first runs, the others wait for it
  std::uint64_t last_seqno_ = 0;           // submitted
  std::uint64_t interrupts_from_ = never;  // completions at or beyond it are told
  std::uint64_t interrupt_at_ = never;     // the tick of the next interrupt
  // The word that the device writes; the host reads it at any time until retire_timeline().
  alignas(64) volatile std::uint32_t word_ = 0;
};

int ring::submit(job& j) {
  if (j.opcode != UFENCE_SIM_WORK) return control(j);
  driver::settlement later = host_.later();
  {
    const std::scoped_lock lock(mutex_);
    if (j.seqno <= last_seqno_) return -EPROTO;
    behaviour drawn;
    if (const int error = draw_locked(j, drawn); error != 0) return error;
    j.driver_private[2] = new behaviour(drawn);
    last_seqno_ = j.seqno;
    running_.push_back(j);
    look_locked(later);
  }
  kick();
  return 0;
}

void ring::cancel(job& j) {
  driver::settlement later = host_.later();
  const std::scoped_lock lock(mutex_);
  if (j.driver_private[2] == nullptr) {  // complete, or not work
    host_.decide_notify(later);
    return;
  }
  if (!behaviour_of(j).can_cancel) {
    ++counters_.cancels_ignored;
    return;
  }
  ++counters_.cancelled;
  forget_locked(j);
  host_.decide(j, -ECANCELED, later);
}

void ring::stop() {
  stop_clock();
  driver::settlement later = host_.later();
  const std::scoped_lock lock(mutex_);
  // The word's value is told; the rest is the host's to end, and its memory is used no more.
  host_.decide_notify(later);
  interrupt_at_ = never;
  while (job* const j = running_.front()) forget_locked(*j);
}

void ring::request_notify(std::uint64_t seqno) {
  const std::scoped_lock lock(mutex_);
  ++counters_.enabled;
  interrupts_from_ = std::min(interrupts_from_, seqno);
}

void ring::set_deadline(std::int64_t deadline_ns) {
  const std::scoped_lock lock(mutex_);
  hint_locked(deadline_ns);
}

void ring::retire_timeline() {
  const std::scoped_lock lock(mutex_);
  ++counters_.retired;
}

void ring::tick_locked(driver::settlement& later) {
  if (const job* const j = running_.front(); j != nullptr) {
    behaviour& b = behaviour_of(*j);
    if (!b.hangs) b.ticks -= std::min(b.ticks, speed_locked());
  }
  look_locked(later);
}

// Completes what has nothing left to run, and raises the interrupt if it is due.
void ring::look_locked(driver::settlement& later) {
  for (const job* j = running_.front(); j != nullptr; j = running_.front()) {
    if (behaviour_of(*j).hangs || behaviour_of(*j).ticks > 0) break;
    complete_locked(later);
  }
  if (running_.empty()) idle_locked();
  if (interrupt_at_ > counters_.now) return;
  interrupt_at_ = never;
  ++counters_.told;
  host_.decide_notify(later);
}

void ring::complete_locked(driver::settlement& later) {
  job& j = *running_.front();
  const behaviour b = behaviour_of(j);
  const std::uint64_t seqno = j.seqno;
  forget_locked(j);
  b.write_target();
  ++counters_.completed;
  // The word says that all up to it succeeded: one that did not is decided by itself before.
  if (b.error != 0) host_.decide(j, b.error, later);
  // seq_cst: the word before the look whether its interrupt is on; request_notify() has the
  // other order
  __atomic_store_n(&word_, static_cast<std::uint32_t>(seqno), __ATOMIC_SEQ_CST);
  if (seqno >= interrupts_from_) interrupt_at_ = std::min(interrupt_at_, counters_.now + b.late);
}

void ring::forget_locked(job& j) noexcept {
  running_.remove(j);
  delete &behaviour_of(j);
  j.driver_private[2] = nullptr;
}

bool ring::is_busy_locked() const noexcept {
  const job* const j = running_.front();
  return interrupt_at_ != never || (j != nullptr && !behaviour_of(*j).hangs);
}

void ring::release_locked() noexcept {
  for (job* j = running_.front(); j != nullptr; j = driver::job_list::next(*j)) {
    behaviour_of(*j).hangs = false;
  }
}

void ring::count_locked(ufence_sim_counters& counters) const noexcept {
  for (const job* j = running_.front(); j != nullptr; j = driver::job_list::next(*j)) {
    ++counters.pending;
    if (behaviour_of(*j).hangs) ++counters.hanging;
  }
}

}  // namespace
}  // namespace ufence::sim

UFENCE_CPP_DRIVER(ufence::sim::ring, "sim", "ring", "a simulated ring, completed in order");
