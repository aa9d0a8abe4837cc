// Where jobs wait for a reader: the one thread that serves the ring, or the threads that use
// pread().
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "drivers/uring/work.h"
#include "ufence/driver.hpp"

namespace ufence::uring {

/// Thread-safe. Its lock is never held over a call of the host but decide().
///
/// The thread of the ring has two places to sleep: here, when nothing is in flight, and in the
/// kernel, when it waits for completions; then the descriptor of wake_fd() wakes it.
class inbox {
 public:
  /// News for a reader besides the jobs.
  struct orders {
    bool is_stopping = false;  // stop() was called: end what you have
    bool leave_ring = false;   // end what you have, then read with threads
    bool cancels = false;      // a taken job is to be ended early: was_cancel_asked()
  };

  inbox() noexcept = default;
  ~inbox();
  inbox(const inbox&) = delete;
  inbox& operator=(const inbox&) = delete;

  /// Makes the descriptor that wakes the ring's thread. 0 or -errno.
  [[nodiscard]] int open_wake_fd() noexcept;
  [[nodiscard]] int wake_fd() const noexcept { return wake_fd_; }

  // --- Any thread ---

  /// -ESHUTDOWN after close().
  [[nodiscard]] int push(job& j);
  /// True: the job was still queued, and is the caller's to decide. Else its reader is told.
  [[nodiscard]] bool withdraw(job& j);
  /// Decides what is queued (-ECANCELED) and tells the readers to stop.
  void close(const driver::services& host, driver::settlement& later);
  void ask_to_leave_ring();
  [[nodiscard]] ufence_uring_counters counters();

  // --- The readers ---

  /// Moves up to jobs_max jobs to the end of `into`; may_sleep: waits for a job or an order first.
  orders receive(driver::job_list& into, std::uint64_t jobs_max, bool may_sleep);
  /// Adds to the totals what a reader has counted; before the decisions, so that a thread that sees a
  /// fence sees it counted.
  void count(const ufence_uring_counters& counted);
  /// The ring's thread is about to sleep in the kernel. False: there is something to receive that
  /// it does not know of.
  [[nodiscard]] bool begin_kernel_sleep(const orders& known, bool wants_jobs);
  void end_kernel_sleep();
  /// Is the job, which the caller has taken, to be ended early?
  [[nodiscard]] bool was_cancel_asked(job& j);

 private:
  [[nodiscard]] bool has_news_locked() const noexcept {
    return !queue_.empty() || is_closed_ || (leave_ring_ && !is_leaving_told_) || cancels_;
  }
  void wake(std::unique_lock<std::mutex> lock, bool everybody);

  std::mutex mutex_;  // guards what follows, and `at` of the jobs
  std::condition_variable news_;
  driver::job_list queue_;
  bool is_closed_ = false;
  bool leave_ring_ = false;
  bool is_leaving_told_ = false;
  bool cancels_ = false;
  bool is_in_kernel_ = false;
  ufence_uring_counters counters_{};
  int wake_fd_ = -1;  // set before the threads start
};

}  // namespace ufence::uring
