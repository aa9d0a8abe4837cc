// How the benchmarks measure: batches of ours and of a baseline that is not ours take turns, in one
// process, on one pinned CPU; what counts is the ratio of their medians.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ufence::bench {

/// What is compared, and what the ratio should be.
struct subject {
  std::string_view name;
  std::string_view what;      // one operation of ours
  std::string_view baseline;  // one operation of the other
  double target = 0;          // ours / baseline, at most; 0: a fact, no target
  /// What the kernel's own code takes for it, ns; 0: not known. A told figure: version 7.2, compiled for
  /// userspace with g++ 12 -O2 over liburcu and futex-based locks, medians of 101 batches on another
  /// machine, so no ratio to it is made here.
  double kernel_told_ns = 0;
};

/// What one batch took, and whether the kernel gave the CPU to somebody else meanwhile.
struct batch_time {
  std::int64_t ns = 0;
  bool was_disturbed = false;
};

/// Times what lies between begin() and stop(), without what the clock itself costs. Preemptions
/// count from its construction; what warms caches comes between that and begin().
class stopwatch {
 public:
  stopwatch() noexcept;
  void begin() noexcept;
  [[nodiscard]] batch_time stop() const noexcept;

 private:
  std::int64_t own_ns_;
  std::int64_t switches_;
  std::int64_t began_ns_ = 0;
};

/// One batch: prepares what is not to be measured, times the given number of operations.
using batch = std::function<batch_time(std::uint64_t operations)>;

/// How much to measure.
struct effort {
  int pairs = 101;
  bool quick = false;  // a smoke run: that it works, not how fast

  [[nodiscard]] std::uint64_t scaled(std::uint64_t operations) const noexcept {
    return quick ? operations / 100 + 1 : operations;
  }
  [[nodiscard]] int pairs_at_most(int n) const noexcept { return pairs < n ? pairs : n; }
};

/// Medians and minima of one operation, in ns.
struct measurement {
  std::string_view name;
  std::string what;
  std::string baseline;
  double target = 0;
  double kernel_told_ns = 0;
  double ns = 0, ns_min = 0;
  double baseline_ns = 0, baseline_ns_min = 0;
  int pairs = 0;
  std::uint64_t operations = 0;  // in each batch
  std::string why_skipped;       // empty: it was measured

  [[nodiscard]] double ratio() const noexcept { return ns / baseline_ns; }
  [[nodiscard]] bool has_kernel() const noexcept { return kernel_told_ns > 0; }
  [[nodiscard]] bool has_target() const noexcept { return target > 0; }
  [[nodiscard]] bool is_reached() const noexcept { return ratio() <= target; }
};

/// Where benchmarks are measured and their results go.
class session {
 public:
  session(effort how_much, std::vector<int> cpus, std::string driver_path) noexcept
      : effort_(how_much), cpus_(std::move(cpus)), driver_path_(std::move(driver_path)) {}

  [[nodiscard]] const effort& how_much() const noexcept { return effort_; }
  /// The CPUs that this process may use: the first is the one that benchmarks are pinned to.
  [[nodiscard]] const std::vector<int>& cpus() const noexcept { return cpus_; }
  /// The folder with the driver modules.
  [[nodiscard]] const std::string& driver_path() const noexcept { return driver_path_; }

  /// Batches of n operations each, ours first, then the baseline, and so on.
  /// @param pairs  how many of each; 0: as many as usual
  void compare(const subject& about, std::uint64_t n, const batch& ours, const batch& baseline,
               int pairs = 0);
  /// It can't be measured here, and why.
  void skip(const subject& about, std::string why);

  [[nodiscard]] const std::vector<measurement>& results() const noexcept { return results_; }

 private:
  const effort effort_;
  const std::vector<int> cpus_;
  const std::string driver_path_;
  std::vector<measurement> results_;
};

/// The CPUs that this process may run on, the last one first: the first serves most interrupts.
[[nodiscard]] std::vector<int> usable_cpus();
/// The calling thread runs on this CPU only.
void pin_to(int cpu) noexcept;

/// Stops with a message: a benchmark did not do what it measures.
[[noreturn]] void give_up(std::string_view why) noexcept;
inline void require(bool holds, std::string_view what) noexcept {
  if (!holds) give_up(what);
}

/// The compiler must assume that the memory is read and written here.
inline void clobber() noexcept { asm volatile("" ::: "memory"); }
/// The compiler must compute the value.
template <class T>
void keep(const T& value) noexcept {
  asm volatile("" ::"r"(value) : "memory");
}

/// Times n calls.
template <class Function>
batch_time time_calls(std::uint64_t n, Function function) noexcept {
  stopwatch watch;
  watch.begin();
  for (std::uint64_t i = 0; i < n; ++i) function();
  return watch.stop();
}

/// Uncontended locked instructions on one word, so many for each operation.
[[nodiscard]] batch locked_instructions(unsigned for_each);

}  // namespace ufence::bench
