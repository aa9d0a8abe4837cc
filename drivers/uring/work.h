// A job under way: what both ways of reading share.
#pragma once

#include <cstdint>

#include "drivers/uring/uring.h"
#include "ufence/driver.hpp"

namespace ufence::uring {

using driver::job;

/// Where a job is. Guarded by the inbox's lock.
enum class place : std::uint8_t {
  queued,        // in the inbox: may be ended by cancel()
  taken,         // a reader has it, and will decide it
  cancel_asked,  // taken, and to be ended early
};

/// How far a job is; lies in its driver_private[2] and [3].
struct progress {
  place at = place::queued;
  // The reader's:
  bool cancel_sent : 1 = false;  // the kernel was asked to end it
  bool is_blocking : 1 = false;  // O_NONBLOCK was taken off fd
  std::int16_t error = 0;        // once it ended
  std::int32_t fd = -1;          // that is read from
  std::uint64_t done = 0;        // bytes read
};

/// Starts a job's progress; null if the arguments are wrong.
[[nodiscard]] progress* begin(job& j) noexcept;
[[nodiscard]] progress& progress_of(job& j) noexcept;

[[nodiscard]] inline bool is_file(const job& j) noexcept {
  return j.opcode == UFENCE_URING_READ_FILE;
}
[[nodiscard]] bool is_stream(job& j) noexcept;

/// READ_FILE: with what flags the file is opened.
[[nodiscard]] int open_flags(const ufence_uring_read_file& args) noexcept;
/// READ_FILE: looks at the file that was opened. 0, or the job's error.
[[nodiscard]] int accept_file(job& j, int fd) noexcept;

/// Where the next bytes go and come from.
struct span_left {
  int fd;
  void* buffer;
  std::uint64_t size;    // 0: the buffer is full
  std::uint64_t offset;  // UFENCE_URING_STREAM: none
};
[[nodiscard]] span_left left_to_read(job& j) noexcept;
/// How many of them there probably are.
[[nodiscard]] std::uint64_t expected_bytes(job& j) noexcept;

/// Takes n bytes, or the end of the file (0), into account.
/// @return  true: the job is complete
[[nodiscard]] bool advance(job& j, std::uint64_t n) noexcept;
/// After -EAGAIN from a file that the job opened without blocking: makes it a blocking one.
/// @return  false: it is not such a file, or was made so already; -EAGAIN is the job's error
[[nodiscard]] bool make_blocking(job& j) noexcept;

/// The last step before the decision: writes the result, closes what is not handed out, counts.
void end(job& j, int error, ufence_uring_counters& counted) noexcept;

/// Decides jobs that have ended, and empties the list.
void decide(driver::job_list& ended, const driver::services& host,
            driver::settlement& later) noexcept;

}  // namespace ufence::uring
