// The driver `sim_ooo`: a device that runs its jobs side by side, completes each by itself, and
// tells only those that somebody asked it to. See sim.h for its jobs.
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <mutex>

#include "drivers/sim/sim.h"
#include "drivers/sim/simulator.h"
#include "ufence/driver.hpp"

namespace ufence::sim {
namespace {

/// The driver's data of a job: made by submit(), freed by retire() and nowhere else (D-10).
struct work {
  behaviour b;
  job* owner = nullptr;
  work *next = nullptr, *previous = nullptr;  // in the device's list
  bool is_complete = false;                   // by the device
  bool is_asked = false;                      // enable_signaling() was called: tell its completion
  bool is_decided = false;
};

work& work_of(const job& j) noexcept { return *static_cast<work*>(j.driver_private[0]); }

class side_by_side final : public simulator {
 public:
  explicit side_by_side(driver::services host) noexcept : simulator(host) {}
  ~side_by_side();

  int submit(job& j);
  int enable_signaling(job& j);
  int poll(job& j);
  void set_deadline(job& j, std::int64_t deadline_ns);
  void retire(job& j);
  void cancel(job& j);
  void stop();

 private:
  void tick_locked(driver::settlement& later) override;
  bool is_busy_locked() const noexcept override;
  void release_locked() noexcept override;
  void count_locked(ufence_sim_counters& counters) const noexcept override;

  void look_locked(driver::settlement& later);
  work* next_due_locked() noexcept;
  void decide_locked(work& w, int error, driver::settlement& later);
  static int result_of(const work& w) noexcept;

  void link_locked(work& w) noexcept;
  void unlink_locked(work& w) noexcept;

  work *first_ = nullptr, *last_ = nullptr;  // not yet retired, in order of submission
};

side_by_side::~side_by_side() {
  if (first_ != nullptr) host_.report("sim_ooo: a job was not retired");
  while (work* const w = first_) {
    unlink_locked(*w);
    delete w;
  }
}

int side_by_side::submit(job& j) {
  if (j.opcode != UFENCE_SIM_WORK) return control(j);
  auto made = std::make_unique<work>();
  driver::settlement later = host_.later();
  {
    const std::scoped_lock lock(mutex_);
    if (const int error = draw_locked(j, made->b); error != 0) return error;
    made->owner = &j;
    j.driver_private[0] = made.get();
    link_locked(*made.release());
    look_locked(later);
  }
  kick();
  return 0;
}

int side_by_side::enable_signaling(job& j) {
  const std::scoped_lock lock(mutex_);
  ++counters_.enabled;
  work& w = work_of(j);
  w.is_asked = true;
  if (!w.is_complete) return 0;
  w.is_decided = true;  // by the host, for what this returns
  return result_of(w);
}

int side_by_side::poll(job& j) {
  const std::scoped_lock lock(mutex_);
  ++counters_.polled;
  work& w = work_of(j);
  if (!w.is_complete) return 0;
  w.is_decided = true;
  return result_of(w);
}

void side_by_side::set_deadline(job&, std::int64_t deadline_ns) {
  const std::scoped_lock lock(mutex_);
  hint_locked(deadline_ns);
}

void side_by_side::retire(job& j) {
  if (j.driver_private[0] == nullptr) return;  // not work
  const std::unique_ptr<work> w(&work_of(j));
  const std::scoped_lock lock(mutex_);
  ++counters_.retired;
  unlink_locked(*w);
}

void side_by_side::cancel(job& j) {
  if (j.driver_private[0] == nullptr) return;
  driver::settlement later = host_.later();
  const std::scoped_lock lock(mutex_);
  work& w = work_of(j);
  if (w.is_decided) return;
  if (w.is_complete) {
    decide_locked(w, result_of(w), later);
  } else if (!w.b.can_cancel) {
    ++counters_.cancels_ignored;
  } else {
    ++counters_.cancelled;
    decide_locked(w, -ECANCELED, later);
  }
}

// Complete jobs are told; the rest is the host's to end. Both are retired later.
void side_by_side::stop() {
  stop_clock();
  driver::settlement later = host_.later();
  const std::scoped_lock lock(mutex_);
  for (work* w = first_; w != nullptr; w = w->next) {
    if (w->is_complete && !w->is_decided) decide_locked(*w, result_of(*w), later);
    w->is_decided = true;
  }
}

void side_by_side::tick_locked(driver::settlement& later) {
  for (work* w = first_; w != nullptr; w = w->next) {
    if (w->is_complete) {
      if (w->b.late > 0) --w->b.late;
    } else if (!w->b.hangs) {
      w->b.ticks -= std::min(w->b.ticks, speed_locked());
    }
  }
  look_locked(later);
}

// Completes what has nothing left to run, and tells what was asked for and is no longer late.
void side_by_side::look_locked(driver::settlement& later) {
  const auto is_to_tell = [](const work& w) {
    return w.is_complete && w.is_asked && !w.is_decided && w.b.late == 0;
  };
  while (work* const w = next_due_locked()) {
    w->b.write_target();
    w->is_complete = true;
    ++counters_.completed;
    if (is_to_tell(*w)) decide_locked(*w, result_of(*w), later);
  }
  for (work* w = first_; w != nullptr; w = w->next) {
    if (is_to_tell(*w)) decide_locked(*w, result_of(*w), later);
  }
  if (!is_busy_locked()) idle_locked();
}

work* side_by_side::next_due_locked() noexcept {
  const auto is_due = [](const work& w) {
    return !w.is_complete && !w.is_decided && !w.b.hangs && w.b.ticks == 0;
  };
  work* found = nullptr;
  std::uint64_t seen = 0;
  for (work* w = first_; w != nullptr; w = w->next) {
    if (!is_due(*w)) continue;
    ++seen;
    if (config_.order == UFENCE_SIM_FIFO) return w;
    // One of n, each as likely, in one pass.
    if (config_.order == UFENCE_SIM_LIFO || random_locked(seen) == 0) found = w;
  }
  return found;
}

void side_by_side::decide_locked(work& w, int error, driver::settlement& later) {
  w.is_decided = true;
  ++counters_.told;
  host_.decide(*w.owner, error > 0 ? 0 : error, later);
}

int side_by_side::result_of(const work& w) noexcept { return w.b.error != 0 ? w.b.error : 1; }

bool side_by_side::is_busy_locked() const noexcept {
  for (const work* w = first_; w != nullptr; w = w->next) {
    if (w->is_decided) continue;
    if (w->is_complete ? w->is_asked : !w->b.hangs) return true;
  }
  return false;
}

void side_by_side::release_locked() noexcept {
  for (work* w = first_; w != nullptr; w = w->next) w->b.hangs = false;
}

void side_by_side::count_locked(ufence_sim_counters& counters) const noexcept {
  for (const work* w = first_; w != nullptr; w = w->next) {
    if (w->is_complete || w->is_decided) continue;
    ++counters.pending;
    if (w->b.hangs) ++counters.hanging;
  }
}

void side_by_side::link_locked(work& w) noexcept {
  w.previous = last_;
  (last_ != nullptr ? last_->next : first_) = &w;
  last_ = &w;
}

void side_by_side::unlink_locked(work& w) noexcept {
  (w.previous != nullptr ? w.previous->next : first_) = w.next;
  (w.next != nullptr ? w.next->previous : last_) = w.previous;
}

}  // namespace
}  // namespace ufence::sim

UFENCE_CPP_DRIVER(ufence::sim::side_by_side, "sim_ooo", "jobs",
                  "a simulated device, each job completed by itself");
