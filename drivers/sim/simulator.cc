#include "drivers/sim/simulator.h"

#include <cerrno>

namespace ufence::sim {

int simulator::control(job& j) {
  switch (j.opcode) {
    case UFENCE_SIM_CONFIGURE:
      if (const int error = configure(j); error != 0) return error;
      break;
    case UFENCE_SIM_ADVANCE:
      if (const int error = advance(j); error != 0) return error;
      break;
    case UFENCE_SIM_QUERY: {
      const auto* const args = driver::args_of<ufence_sim_query>(j);
      if (args == nullptr || args->counters == nullptr) return -EINVAL;
      const std::scoped_lock lock(mutex_);
      *args->counters = counters_;
      count_locked(*args->counters);
      break;
    }
    case UFENCE_SIM_RELEASE: {
      const std::scoped_lock lock(mutex_);
      release_locked();
      break;
    }
    default: return -EINVAL;
  }
  kick();
  host_.signal(j, 0);
  return 0;
}

int simulator::configure(job& j) {
  const auto* const args = driver::args_of<ufence_sim_configure>(j);
  if (args == nullptr || args->order > UFENCE_SIM_SHUFFLED || args->free_running > 1 ||
      args->reserved != 0 || args->errors > 1000 || args->hangs > 1000 || args->error > 0 ||
      args->error < -4095 || args->ticks_more > UFENCE_SIM_TICKS_MAX ||
      args->late_more > UFENCE_SIM_TICKS_MAX) {
    return -EINVAL;
  }
  bool start_thread = false;
  {
    const std::scoped_lock lock(mutex_);
    if (is_stopping_) return -ESHUTDOWN;
    config_ = *args;
    dice_ = args->seed;
    start_thread = args->free_running != 0 && !has_clock_thread_;
    if (start_thread) has_clock_thread_ = is_clock_running_ = true;
  }
  if (!start_thread) return 0;
  const int error = host_.start_thread<&simulator::run_clock>("ufence-sim", *this);
  if (error == 0) return 0;
  const std::scoped_lock lock(mutex_);
  has_clock_thread_ = is_clock_running_ = false;
  config_.free_running = 0;
  clock_stopped_.notify_all();
  return error;
}

int simulator::advance(job& j) {
  const auto* const args = driver::args_of<ufence_sim_advance>(j);
  if (args == nullptr || args->ticks > UFENCE_SIM_TICKS_MAX) return -EINVAL;
  driver::settlement later = host_.later();
  const std::scoped_lock lock(mutex_);
  for (std::uint64_t n = 0; n < args->ticks; ++n) {
    ++counters_.now;
    tick_locked(later);
  }
  return 0;
}

void simulator::run_clock() noexcept {
  while (tick_when_busy()) {
  }
}

// A tick at a time: what it decided is settled before the next. False: the clock is to stop.
bool simulator::tick_when_busy() {
  driver::settlement later = host_.later();
  std::unique_lock lock(mutex_);
  has_work_.wait(
      lock, [this] { return is_stopping_ || (config_.free_running != 0 && is_busy_locked()); });
  if (is_stopping_) {
    is_clock_running_ = false;
    clock_stopped_.notify_all();
    return false;
  }
  ++counters_.now;
  tick_locked(later);
  return true;
}

void simulator::stop_clock() {
  std::unique_lock lock(mutex_);
  is_stopping_ = true;
  has_work_.notify_all();
  clock_stopped_.wait(lock, [this] { return !is_clock_running_; });
}

int simulator::draw_locked(job& j, behaviour& drawn) noexcept {
  constexpr std::uint32_t known = UFENCE_SIM_HANG | UFENCE_SIM_NO_CANCEL | UFENCE_SIM_RANDOM;
  const auto* const args = driver::args_of<ufence_sim_work>(j);
  if (args == nullptr || (args->flags & ~known) != 0 || args->error > 0 || args->error < -4095 ||
      args->ticks > UFENCE_SIM_TICKS_MAX || args->late > UFENCE_SIM_TICKS_MAX) {
    return -EINVAL;
  }
  if (is_stopping_) return -ESHUTDOWN;
  drawn = {.ticks = args->ticks,
           .late = args->late,
           .error = args->error,
           .hangs = (args->flags & UFENCE_SIM_HANG) != 0,
           .can_cancel = (args->flags & UFENCE_SIM_NO_CANCEL) == 0,
           .target = args->target,
           .value = args->value};
  ++counters_.submitted;
  if ((args->flags & UFENCE_SIM_RANDOM) == 0) return 0;
  // Each is drawn always, so that one setting does not change what the others give.
  drawn.ticks += static_cast<std::uint32_t>(random_locked(config_.ticks_more + 1ull));
  drawn.late += static_cast<std::uint32_t>(random_locked(config_.late_more + 1ull));
  const bool fails = random_locked(1000) < config_.errors;
  const bool hangs = random_locked(1000) < config_.hangs;
  if (fails) drawn.error = config_.error != 0 ? config_.error : -EIO;
  drawn.hangs |= hangs;
  return 0;
}

// splitmix64.
std::uint64_t simulator::random_locked(std::uint64_t n) noexcept {
  dice_ += 0x9e3779b97f4a7c15u;
  std::uint64_t z = dice_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (z ^ (z >> 31)) % n;
}

void simulator::hint_locked(std::int64_t deadline_ns) noexcept {
  ++counters_.deadlines;
  if (deadline_ns >= soonest_ns_) return;
  soonest_ns_ = deadline_ns;
  ++counters_.boosts;
  is_boosted_ = true;
}

}  // namespace ufence::sim
