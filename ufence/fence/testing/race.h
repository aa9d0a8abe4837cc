// Two or more pieces of code at once, round after round.
#pragma once

#include <sched.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "ufence/base/atomic.h"
#include "ufence/fence/testing/support.h"

namespace ufence::testing {

/// Looks until the condition holds; gives the CPU away when it takes long.
template <class Condition>
void spin_until(Condition condition) {
  for (int spins = 0; !condition(); ++spins) {
    if (spins < 500) {
      spin_pause();
    } else {
      std::this_thread::yield();
    }
  }
}

/// A delay from nothing to a microsecond or two, another one for each round and each thread. The first
/// thread waits longer, as what it does is short.
inline void stagger(long round, std::size_t self) {
  const auto mixed =
      (static_cast<std::uint64_t>(round + 1) * 0x9E37'79B9'7F4A'7C15ULL) >> (20 + self * 6);
  for (std::uint64_t i = mixed % (self == 0 ? 48 : 16); i > 0; --i) spin_pause();
}

/// Keeps this thread on one CPU while it lives, the n-th of those it may use: otherwise the scheduler of
/// a busy machine tends to put the threads of a race on one CPU, where they take turns.
class pinned {
 public:
  explicit pinned(std::size_t n) {
    if (::sched_getaffinity(0, sizeof before_, &before_) != 0) return;
    n %= static_cast<std::size_t>(CPU_COUNT(&before_));
    cpu_set_t one;
    CPU_ZERO(&one);
    for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &before_) && n-- == 0) CPU_SET(cpu, &one);
    }
    ::sched_setaffinity(0, sizeof one, &one);
  }
  ~pinned() { ::sched_setaffinity(0, sizeof before_, &before_); }
  pinned(const pinned&) = delete;
  pinned& operator=(const pinned&) = delete;

 private:
  cpu_set_t before_{};
};

/// Runs the bodies at once, each on a thread of its own, until the clock ends; `before` and `after`
/// run alone around each round and see all that the bodies did. The bodies' starts are a few
/// nanoseconds apart, differently in each round. At least one round; returns how many.
class race {
 public:
  using body = std::function<void()>;

  long run(const stress_clock& clock, const body& before, std::vector<body> bodies,
           const body& after) {
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < bodies.size(); ++i) {
      threads.emplace_back([this, i, run_body = std::move(bodies[i])] { follow(i, run_body); });
    }
    const pinned here(0);
    long rounds = 0;
    do {
      before();
      arrived_.store(0, std::memory_order_relaxed);
      const long round = round_.load(std::memory_order_relaxed) + 1;
      round_.store(round, std::memory_order_release);
      stagger(round, 0);
      bodies[0]();
      spin_until([&] { return arrived_.load(std::memory_order_acquire) + 1 == bodies.size(); });
      after();
      ++rounds;
    } while (clock.runs() && !::testing::Test::HasFatalFailure());
    round_.store(stopped, std::memory_order_release);
    return rounds;
  }

 private:
  static constexpr long stopped = -1;

  void follow(std::size_t self, const body& run_body) {
    const pinned there(self);
    for (long seen = 0;;) {
      spin_until([&] { return round_.load(std::memory_order_acquire) != seen; });
      seen = round_.load(std::memory_order_acquire);
      if (seen == stopped) return;
      stagger(seen, self);
      run_body();
      arrived_.fetch_add(1, std::memory_order_release);
    }
  }
  std::atomic<long> round_ = 0;
  std::atomic<std::size_t> arrived_ = 0;
};

/// Many short races in each round: one thread takes step after step, the others are at the same
/// step at the same moment, a few nanoseconds earlier or later.
class chase {
 public:
  chase(std::size_t steps, std::size_t followers) : steps_(steps), all_(followers + 1) {}

  /// A body for race::run() that takes the steps 0 to steps - 1.
  template <class Step>
  race::body leader(Step step) {
    return [this, step] {
      for (std::size_t i = 0; i < steps_; ++i) {
        meet_others(i, 0);
        step(i);
      }
    };
  }
  /// A body that calls meet(i) while the leader takes step i.
  template <class Meet>
  race::body follower(Meet meet) {
    return [this, meet] {
      for (std::size_t i = 0; i < steps_; ++i) {
        meet_others(i, 1);
        meet(i);
      }
    };
  }
  /// Before each round.
  void reset() {
    arrived_.store(0, std::memory_order_relaxed);
    ++round_;
  }

 private:
  void meet_others(std::size_t step, std::size_t self) {
    arrived_.fetch_add(1, std::memory_order_acq_rel);
    spin_until([&] { return arrived_.load(std::memory_order_acquire) >= all_ * (step + 1); });
    stagger(round_ * static_cast<long>(steps_ + 1) + static_cast<long>(step), self);
  }

  const std::size_t steps_;
  const std::size_t all_;
  long round_ = 0;
  std::atomic<std::size_t> arrived_ = 0;
};

/// A callback in a race: added or refused, and run exactly if added.
struct contender : callback {
  contender() : callback(&contender::run) {}
  static void run(callback& node, fence&) noexcept { ++static_cast<contender&>(node).runs; }

  void add_to(fence& f) { added = f.add_callback(*this); }
  [[nodiscard]] bool is_right() const {
    if (!added.has_value()) return runs == 0;
    return *added ? *added == errno_code(ENOENT) && runs == 0 : runs == 1;
  }
  std::optional<std::error_code> added;
  int runs = 0;
};

}  // namespace ufence::testing
