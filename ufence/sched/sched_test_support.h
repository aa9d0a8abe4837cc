// A device for tests, its jobs, and what a test says to it.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "ufence/fence/report.h"
#include "ufence/fence/timeline.h"
#include "ufence/sched/scheduler.h"

namespace ufence::sched::testing {

class ring;

/// A job of a ring. The ring owns it once it is armed.
struct ring_job : job {
  explicit ring_job(ring& r, int number = 0, std::uint32_t credits = 1)
      : job(credits), of(r), id(number) {}
  ~ring_job() = default;

  ring& of;
  const int id;
  std::int64_t length_ns = 0;               // for rings that work by themselves
  int result = 0;                           // of run(), a negative errno
  bool is_nothing = false;                  // run() returns null
  std::function<void(ring_job&)> on_run;    // before run() returns
  std::function<fence_ref()> not_before;    // asked by run(): with a fence, the job is put back
  std::function<void(ring_job&)> on_freed;  // the last that happens
};

/// How a ring does its jobs.
enum class manner : std::uint8_t {
  at_once,   // run() returns null: nothing to wait for
  by_hand,   // each has a fence, which advance() signals, in order
  by_clock,  // run() returns a fence that was signaled: the ring's own clock went on by length_ns
};

/// One hardware ring. Threads: any.
class ring {
 public:
  explicit ring(manner how = manner::by_hand);
  ~ring();

  /// Signals the device fences of so many jobs, in order. Returns how many there were.
  std::size_t advance(std::size_t n, int error = 0);
  /// How many wait for advance().
  [[nodiscard]] std::size_t pending();
  /// The ids of jobs in the order in which run() got them.
  [[nodiscard]] std::vector<int> ran();
  [[nodiscard]] std::size_t freed() const { return freed_; }

  /// Options with its ops.
  [[nodiscard]] scheduler_options options() const;
  /// A new job of it.
  [[nodiscard]] ring_job* make(int id = 0, std::uint32_t credits = 1) {
    return new ring_job(*this, id, credits);
  }
  /// Makes one and pushes it; its finished fence, null if that was refused.
  fence_ref push(entity& e, int id = 0, std::uint32_t credits = 1);

  std::function<fence_ref(ring_job&)> on_prepare;
  std::function<timeout_verdict(ring_job&)> on_timeout;
  std::function<void(ring_job&)> on_cancel;  // by itself: its fence ends with -ECANCELED
  std::atomic<int> timeouts = 0, cancels = 0, prepares = 0;

 private:
  struct entry {
    ring_job* of;
    std::uint64_t seqno;
    fence_ref fence;
    signaler signal;
  };
  static result<fence_ref> run(job& j) noexcept;
  static fence_ref prepare(job& j) noexcept;
  static timeout_verdict timed_out(job& j) noexcept;
  static void cancel(job& j) noexcept;
  static void free(job& j) noexcept;
  static const scheduler_ops ops_, preparing_ops_;

  const manner how_;
  std::mutex lock_;
  std::deque<entry> pending_;
  std::vector<int> ran_;
  std::uint64_t context_ = fence::allocate_contexts(1), seqno_ = 0;
  std::int64_t clock_ns_;
  std::atomic<std::size_t> freed_ = 0;
};

/// A scheduler without a thread over a ring, and entities on it.
struct loop {
  explicit loop(const scheduler_options& options) : of(scheduler::create(options).value()) {}
  ~loop() { EXPECT_FALSE(of.fini()); }

  [[nodiscard]] entity make(entity_options options = {}) const {
    const scheduler* const list[] = {&of};
    options.schedulers = list;
    return entity::create(options).value();
  }
  std::size_t run(std::size_t n = SIZE_MAX) { return of.run_ready(n).value(); }

  scheduler of;
};

/// A scheduler with its thread, and entities on it.
struct threaded {
  explicit threaded(const scheduler_options& options)
      : of(scheduler::create(options).value()), list{&of} {}
  [[nodiscard]] entity make(entity_options options = {}) const {
    options.schedulers = list;
    return entity::create(options).value();
  }
  scheduler of;
  const scheduler* list[1];
};

/// Options for a loop.
inline scheduler_options without_thread(scheduler_options o) {
  o.has_thread = false;
  return o;
}

/// Collects reports while it lives.
class reports {
 public:
  reports();
  ~reports();
  [[nodiscard]] std::vector<std::string> of(report_kind kind);

 private:
  static void note(const report& what, void* self) noexcept;
  std::mutex lock_;
  std::vector<std::pair<report_kind, std::string>> all_;
};

}  // namespace ufence::sched::testing
