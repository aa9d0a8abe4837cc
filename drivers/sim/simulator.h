// The part that both simulated devices share: their clock, their dice, their control jobs.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "drivers/sim/sim.h"
#include "ufence/driver.hpp"

namespace ufence::sim {

using driver::job;

/// How a job behaves, drawn when it was submitted.
struct behaviour {
  std::uint32_t ticks = 0;  // still to run
  std::uint32_t late = 0;   // still to keep silent once complete
  std::int32_t error = 0;
  bool hangs = false;
  bool can_cancel = true;
  std::uint64_t* target = nullptr;
  std::uint64_t value = 0;

  /// The completion: the last use of the job's memory (D-6).
  void write_target() const noexcept {
    if (target != nullptr) *target = value;
  }
};

/// Base of the devices. Lock: mutex_, also held over decide(), never over anything else of the
/// host.
class simulator {
 public:
  /// Stops the thread of a free-running clock. A device adds what quiets it.
  void stop_clock();

 protected:
  explicit simulator(driver::services host) noexcept : host_(host) {}
  ~simulator() = default;

  /// Any job but work.
  int control(job& j);
  /// Draws the behaviour of a job of work. -EINVAL.
  int draw_locked(job& j, behaviour& drawn) noexcept;
  /// Below n; n > 0.
  std::uint64_t random_locked(std::uint64_t n) noexcept;
  /// A hint for the device: D-15. Double speed, if it is sooner than all before.
  void hint_locked(std::int64_t deadline_ns) noexcept;
  [[nodiscard]] std::uint32_t speed_locked() const noexcept { return is_boosted_ ? 2 : 1; }
  void idle_locked() noexcept { is_boosted_ = false; }
  /// There is something new for a free-running clock.
  void kick() { has_work_.notify_one(); }

  // The steps of a device. A tick passes; would one change anything; jobs stop to hang; counts.
  virtual void tick_locked(driver::settlement& later) = 0;
  [[nodiscard]] virtual bool is_busy_locked() const noexcept = 0;
  virtual void release_locked() noexcept = 0;
  virtual void count_locked(ufence_sim_counters& counters) const noexcept = 0;

  const driver::services host_;
  std::mutex mutex_;  // guards what follows, and what the devices have
  ufence_sim_counters counters_{};
  ufence_sim_configure config_{};

 private:
  int configure(job& j);
  int advance(job& j);
  void run_clock() noexcept;
  bool tick_when_busy();

  std::condition_variable has_work_, clock_stopped_;
  std::uint64_t dice_ = 0;
  std::int64_t soonest_ns_ = INT64_MAX;
  bool is_boosted_ = false;
  bool has_clock_thread_ = false;
  bool is_clock_running_ = false;  // the thread may touch this object
  bool is_stopping_ = false;
};

}  // namespace ufence::sim
