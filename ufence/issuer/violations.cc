#include "ufence/issuer/violations.h"

#include <cxxabi.h>

#include <cstdio>
#include <string_view>
#include <utility>

#include "ufence/fence/report.h"
#include "ufence/issuer/device_impl.h"

namespace ufence::detail {
namespace {

std::string_view text_of(violation what) noexcept {
  switch (what) {
    case violation::decided_twice: return "D-5: the job was decided again";
    case violation::decided_unsubmitted: return "D-5: decided a job that it was not given";
    case violation::refused_decided: return "D-5: submit() refused a job that it had decided";
    case violation::no_job_of_ours: return "D-5: decided something that is not a job of the host";
    case violation::wrote_after_decision:
      return "D-6: wrote to the job's arguments after the job was decided";
    case violation::wrote_after_retire:
      return "D-10: wrote to the job after its last use (retire, or the decision without it)";
    case violation::decided_after_stop: return "D-9: decided a job after stop() had returned";
    case violation::bad_error: return "D-16: an error is not 0 or a negative errno";
    case violation::bad_op_result: return "D-16: the result of an op is not 0, 1 or a negative errno";
    case violation::beyond_last_job: return "D-18: completed a seqno beyond the last job's";
  }
  return "an unknown rule was broken";
}

// Hides the exceptions that this thread handles from the report handler: one of them may be the module's, and a
// handler that kept it (std::current_exception) would destroy it after its class was unmapped.
class hidden_exceptions {
 public:
  hidden_exceptions() noexcept : handled_(std::exchange(*innermost(), nullptr)) {}
  ~hidden_exceptions() { *innermost() = handled_; }
  hidden_exceptions(const hidden_exceptions&) = delete;
  hidden_exceptions& operator=(const hidden_exceptions&) = delete;

 private:
  // The first word of the C++ ABI's data of each thread.
  static void** innermost() noexcept { return reinterpret_cast<void**>(abi::__cxa_get_globals()); }

  void* const handled_;
};

}  // namespace

void violation_list::note(violation what, std::uint64_t seqno) noexcept {
  const scoped_lock hold(lock_);
  // relaxed, as below: written under the lock; a reader that misses it looks again later
  const std::uint32_t n = noted_.load(mo::relaxed);
  if (n < entries_.size()) {
    entries_[n] = {.what = what, .seqno = seqno};
    noted_.store(n + 1, mo::relaxed);
  } else {
    ++missed_;
  }
}

void violation_list::flush_slow(const device::impl& of) noexcept {
  std::array<entry, 16> noted;
  std::size_t count = 0;
  std::size_t missed = 0;
  {
    const scoped_lock hold(lock_);
    count = noted_.load(mo::relaxed);  // relaxed: under the lock
    noted = entries_;
    missed = std::exchange(missed_, 0);
    noted_.store(0, mo::relaxed);  // relaxed: under the lock
  }
  for (std::size_t i = 0; i < count; ++i) report_driver(of, noted[i].seqno, text_of(noted[i].what));
  if (missed == 0) return;
  std::array<char, 64> text;
  std::snprintf(text.data(), text.size(), "and broke rules %zu times more", missed);
  report_driver(of, 0, text.data());
}

void report_driver(const device::impl& of, std::uint64_t seqno, std::string_view text) noexcept {
  const hidden_exceptions hide;
  send_report({.kind = report_kind::driver,
               .context = seqno != 0 ? of.context_of_job(seqno) : 0,
               .seqno = seqno,
               .driver_name = of.driver_name,
               .timeline_name = of.timeline_name,
               .text = text});
}

void report_overdue(void* of, const char* call, std::int64_t age_ns) noexcept {
  std::array<char, 128> text;
  std::snprintf(text.data(), text.size(), "%s has not returned for %lld s", call,
                static_cast<long long>(age_ns / 1'000'000'000));
  report_driver(*static_cast<const device::impl*>(of), 0, text.data());
}

}  // namespace ufence::detail
