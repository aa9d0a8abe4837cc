// One process-wide place for what the library has to tell: dropped signalers, broken drivers, misuse.
#pragma once

#include <cstdint>
#include <string_view>

#include "ufence/base/api.h"
#include "ufence/base/result.h"

namespace ufence {

enum class report_kind : std::uint8_t {
  signaler_dropped,    // F12: a pending fence was signaled with -ECANCELED
  timeline_dropped,    // F12: a timeline was failed with fences pending
  bad_error,           // F2: an error outside [-4095, 0] became -EINVAL
  bad_device_word,     // a device wrote a seqno that was never emitted
  own_settlement_wait, // F4: this thread waits for a fence whose settlement it holds
  callback_deadlock,   // F11: a registration can't be dropped: two callbacks remove each other
  signalling_path,     // a thread allocates or waits on the signalling path
  driver,              // a module broke a rule; the text names it
  job_late,            // a job did not end in time; the text names it and what it waits for
  references_saturated, // so many references were lost that the count can't tell: it lives for ever
  kernel_warning,      // misuse of the kernel-style interface: what the kernel would warn about
  stuck,               // the watchdog: a wait is older than it allows; the text has the whole chain
  lock_order,          // debug builds: locks, or locks and waits for fences, in a circle (lock_order.h)
};

/// The views are valid during the call only.
struct report {
  report_kind kind;
  std::uint64_t context;  // 0: not about one fence
  std::uint64_t seqno;
  std::string_view driver_name;
  std::string_view timeline_name;
  std::string_view text;
};

/// Called with no lock of ours held and outside of read sections of ours, by any thread; must not
/// throw, may call anything: also send_report(), set_report_handler(), and what waits for grace
/// periods. What it signals is settled at once, as on a thread that does nothing else; what the code that
/// reports has decided and not settled stays so until it has returned. (Not the last where its thread is in a read section of its own, as in an op of the
/// kernel's interface: rcu::is_reading() says so.)
using report_handler = void (*)(const report& what, void* context) noexcept;

/// Sets who gets reports; nullptr: back to one line each on stderr. On return the previous handler is
/// not running, but where it is the caller, and is never called again.
/// @return  -ENOMEM, nothing changed; never for nullptr
/// Blocks: for one grace period, and while the previous handler runs on other threads. Context: not
/// inside an RCU read section.
UFENCE_API std::error_code set_report_handler(report_handler handler, void* context) noexcept;

/// Hands a report to the handler. Any thread, no lock held.
UFENCE_API void send_report(const report& what) noexcept;

/// "signaler dropped" and so on.
[[nodiscard]] UFENCE_API std::string_view to_string(report_kind kind) noexcept;

}  // namespace ufence
