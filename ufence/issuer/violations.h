// Broken driver rules that are found where no foreign code may run: under a driver's locks. They are
// noted there and reported as soon as the thread, or another one, is in the open.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ufence/base/api.h"
#include "ufence/base/atomic.h"
#include "ufence/base/lock.h"
#include "ufence/issuer/host.h"

namespace ufence::detail {

enum class violation : std::uint8_t {
  decided_twice,          // D-5
  decided_unsubmitted,    // D-5: a job that it never got, or refused
  refused_decided,        // D-5: decided a job, then refused it
  no_job_of_ours,         // D-5: a copy, or nothing at all
  wrote_after_decision,   // D-6
  wrote_after_retire,     // D-10
  decided_after_stop,     // D-9
  bad_error,              // D-16
  bad_op_result,          // D-16
  beyond_last_job,        // D-18
};

/// Threads: any. Lock rank: leaf.
class violation_list {
 public:
  /// Keeps the first ones until the next flush. Runs no foreign code.
  void note(violation what, std::uint64_t seqno) noexcept;
  /// Reports what was noted. No lock held.
  void flush(const device::impl& of) noexcept {
    // relaxed: what is missed now is reported by the next one
    if (noted_.load(mo::relaxed) != 0) flush_slow(of);
  }

 private:
  struct entry {
    violation what;
    std::uint64_t seqno;
  };
  void flush_slow(const device::impl& of) noexcept;

  mutex lock_{lock_rank::leaf};
  std::array<entry, 16> entries_ UFENCE_GUARDED_BY(lock_){};
  std::size_t missed_ UFENCE_GUARDED_BY(lock_) = 0;
  atomic<std::uint32_t> noted_{0};  // written under the lock
};

/// Reports a broken rule, or what else is worth telling about a device, at once. No lock held.
/// @param seqno  of the job it is about; 0: none
void report_driver(const device::impl& of, std::uint64_t seqno, std::string_view text) noexcept;

/// For overdue_watch: tells that a call into a device's module has not returned.
/// @param of  the device::impl
void report_overdue(void* of, const char* call, std::int64_t age_ns) noexcept;

}  // namespace ufence::detail
