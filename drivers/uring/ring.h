// Reading with io_uring.
#pragma once

#include <liburing.h>

#include <cstdint>

#include "drivers/uring/inbox.h"
#include "drivers/uring/work.h"
#include "ufence/driver.hpp"

namespace ufence::uring {

/// One io_uring instance, served by one thread, which makes it, submits, and reaps.
///
/// Blocks that are in the page cache are read by the kernel while it takes the requests, so the thread takes many
/// requests to the kernel at once, and decides what ended together: few system calls, few wakeups.
/// It takes no more at once than keeps the first one's completion near.
class ring {
 public:
  ring(const driver::services& host, inbox& in) noexcept : host_(host), inbox_(in) {}
  ~ring();
  ring(const ring&) = delete;
  ring& operator=(const ring&) = delete;

  /// Sets it up and sends a request through it. 0, or the -errno with which the kernel refuses.
  [[nodiscard]] int open() noexcept;
  /// Reads until it is told to stop or to leave; nothing is in flight then.
  void run();

 private:
  static constexpr std::uint32_t requests_max = 128;  // in the submission queue
  static constexpr std::uint32_t in_flight_max = 256;
  static constexpr std::uint32_t batch_requests_max = 32;  // taken to the kernel at once
  static constexpr std::uint64_t batch_bytes_max = 512 * 1024;

  [[nodiscard]] io_uring_sqe& request() noexcept;
  std::uint64_t prepare(job& j) noexcept;
  void prepare_batch() noexcept;
  void cancel(bool all);
  void sleep_in_kernel(const inbox::orders& known);
  void enter(std::uint32_t completions_min) noexcept;
  void reap();
  void decide_ended();
  void complete(job& j, int result);
  void end(job& j, int error) noexcept;

  const driver::services& host_;
  inbox& inbox_;
  io_uring ring_{};
  bool is_open_ = false;
  bool is_wake_read_queued_ = false;    // a read of wake_fd() is in flight
  bool has_complained_ = false;   // about a failing system call
  std::uint64_t wake_value_ = 0;  // what it reads
  std::uint32_t in_flight_count_ = 0;
  driver::job_list ready_;  // taken, their next request is to be made
  driver::job_list in_flight_;
  driver::job_list ended_;  // to be decided
  ufence_uring_counters counted_{};
};

}  // namespace ufence::uring
