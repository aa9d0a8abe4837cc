// Two or more pieces of code at once, round after round.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

#include "ufence/base/atomic.h"
#include "ufence/fence/testing/support.h"

namespace ufence::testing {

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
    for (long seen = 0;;) {
      spin_until([&] { return round_.load(std::memory_order_acquire) != seen; });
      seen = round_.load(std::memory_order_acquire);
      if (seen == stopped) return;
      stagger(seen, self);
      run_body();
      arrived_.fetch_add(1, std::memory_order_release);
    }
  }
  template <class Condition>
  static void spin_until(Condition condition) {
    for (int spins = 0; !condition(); ++spins) {
      if (spins < 500) {
        spin_pause();
      } else {
        std::this_thread::yield();
      }
    }
  }
  static void stagger(long round, std::size_t self) {
    const auto mixed = (static_cast<std::uint64_t>(round) * 0x9E37'79B9'7F4A'7C15ULL) >> (self * 6);
    for (std::uint64_t i = (mixed >> 20) % 32; i > 0; --i) spin_pause();
  }

  std::atomic<long> round_ = 0;
  std::atomic<std::size_t> arrived_ = 0;
};

/// A callback in a race: added or refused, and run exactly if added.
struct contender {
  std::error_code added;
  scripted_callback node;

  void add_to(fence& f) { added = f.add_callback(node); }
  [[nodiscard]] bool is_right() const {
    return added ? added == errno_code(ENOENT) && node.runs() == 0 : node.runs() == 1;
  }
};

}  // namespace ufence::testing
