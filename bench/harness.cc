#include "bench/harness.h"

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace ufence::bench {
namespace {

std::int64_t clock_ns() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1'000'000'000) + now.tv_nsec;
}

// The time that a stopwatch would measure if nothing were done meanwhile.
std::int64_t clock_cost_ns() noexcept {
  static const std::int64_t own = [] {
    std::int64_t least = INT64_MAX;
    for (int i = 0; i < 1000; ++i) {
      const std::int64_t began_ns = clock_ns();
      least = std::min(least, clock_ns() - began_ns);
    }
    return least;
  }();
  return own;
}

// How often this thread lost its CPU without asking for it.
std::int64_t preemptions() noexcept {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nivcsw;
}

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double minimum(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}

// The time of one operation in a batch, measured again a few times if somebody else ran meanwhile.
double measure(const batch& run, std::uint64_t n) {
  constexpr int attempts = 4;
  batch_time time;
  for (int i = 0; i < attempts; ++i) {
    time = run(n);
    if (!time.was_disturbed) break;
  }
  return static_cast<double>(time.ns) / static_cast<double>(n);
}

measurement describe(const subject& about) {
  measurement m;
  m.name = about.name;
  m.what = about.what;
  m.baseline = about.baseline;
  m.target = about.target;
  m.kernel_told_ns = about.kernel_told_ns;
  return m;
}

}  // namespace

stopwatch::stopwatch() noexcept : own_ns_(clock_cost_ns()), switches_(preemptions()) {}

void stopwatch::begin() noexcept { began_ns_ = clock_ns(); }

batch_time stopwatch::stop() const noexcept {
  const std::int64_t ended_ns = clock_ns();
  // At least 1: a ratio needs it.
  return {.ns = std::max(ended_ns - began_ns_ - own_ns_, std::int64_t{1}),
          .was_disturbed = preemptions() != switches_};
}

void session::compare(const subject& about, std::uint64_t n, const batch& ours,
                      const batch& baseline, int pairs) {
  measurement m = describe(about);
  m.pairs = pairs == 0 ? effort_.pairs : effort_.pairs_at_most(pairs);
  m.operations = n;
  std::vector<double> our_times, baseline_times;
  // The first pair warms caches and allocators.
  for (int pair = -1; pair < m.pairs; ++pair) {
    const double our_time = measure(ours, n);
    const double baseline_time = measure(baseline, n);
    if (pair < 0) continue;
    our_times.push_back(our_time);
    baseline_times.push_back(baseline_time);
  }
  m.ns = median(our_times);
  m.ns_min = minimum(our_times);
  m.baseline_ns = median(baseline_times);
  m.baseline_ns_min = minimum(baseline_times);
  results_.push_back(std::move(m));
}

void session::skip(const subject& about, std::string why) {
  measurement m = describe(about);
  m.why_skipped = std::move(why);
  results_.push_back(std::move(m));
}

std::vector<int> usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  require(sched_getaffinity(0, sizeof set, &set) == 0, "no affinity mask");
  std::vector<int> cpus;
  for (int cpu = CPU_SETSIZE - 1; cpu >= 0; --cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) cpus.push_back(cpu);
  }
  return cpus;
}

void pin_to(int cpu) noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  require(sched_setaffinity(0, sizeof set, &set) == 0, "a thread can't be pinned to a CPU");
}

void give_up(std::string_view why) noexcept {
  static_cast<void>(
      std::fprintf(stderr, "ufence-bench: %.*s\n", static_cast<int>(why.size()), why.data()));
  std::exit(1);
}

batch locked_instructions(unsigned for_each) {
  return [for_each](std::uint64_t n) {
    constexpr int warm_up = 100;
    alignas(64) static std::atomic<std::uint32_t> word{0};
    stopwatch watch;
    for (int i = 0; i < warm_up; ++i) keep(word.fetch_add(1, std::memory_order_acq_rel));
    watch.begin();
    for (std::uint64_t i = 0; i < n * for_each; ++i) {
      keep(word.fetch_add(1, std::memory_order_acq_rel));
    }
    return watch.stop();
  };
}

}  // namespace ufence::bench
