// Trace points: static ones (one nop each while nobody looks), named as the kernel's events of
// provider dma_fence, with all 64 bits of context and seqno; and the events of a recording
// (ufence/trace), which cost a load and a branch while nothing is recorded.
//   bpftrace -e 'usdt:/usr/lib/libufence.so:ufence:dma_fence_signaled { printf("%lu:%lu\n", arg0,
//   arg1); }'
#pragma once

#include <sys/sdt.h>

#include "ufence/fence/timeline.h"
#include "ufence/trace/hooks.h"

// A static point alone. Arguments are computed whether somebody looks or not: no call for them.
#define UFENCE_PROBE(name, fence_) \
  STAP_PROBE2(ufence, name, (fence_).traced_context(), (fence_).seqno())
// And the event of a recording, which has the kernel's name without dma_fence_ before it.
#define UFENCE_TRACE(name, fence_)                                           \
  do {                                                                       \
    UFENCE_PROBE(dma_fence_##name, fence_);                                  \
    if (::ufence::trace::is_recording()) [[unlikely]]                        \
      ::ufence::trace::record_fence(::ufence::trace::event::name, (fence_)); \
  } while (false)
#define UFENCE_TRACE_ERROR(name, fence_, error_)                                                \
  do {                                                                                          \
    STAP_PROBE3(ufence, dma_fence_##name, (fence_).traced_context(), (fence_).seqno(), error_); \
    if (::ufence::trace::is_recording()) [[unlikely]]                                           \
      ::ufence::trace::record_fence(::ufence::trace::event::name, (fence_), (error_));          \
  } while (false)

namespace ufence {

inline std::uint64_t fence::traced_context() const noexcept {
  const timeline* line = owner();
  if (line == nullptr) return owner_.context;
  return has_timelines_context() ? line->context() : line->unordered_context(seqno_);
}

namespace trace {

/// Records what happened to a fence. Only while something is recorded, as all of these: they are
/// out of line, and cold, to keep the paths short on which nothing is.
[[gnu::cold]] void record_fence(event what, const fence& f, int error = 0) noexcept;
/// One thread is about to wait for so many fences, of which this is one; or has waited.
[[gnu::cold]] void record_wait(event what, const fence& f, std::uint64_t count,
                               int error = 0) noexcept;
/// The fate of a job, by its fence (event::job_queue and those behind it).
[[gnu::cold]] void record_job(event what, const fence& f, std::uint64_t a = 0, std::uint64_t b = 0,
                              int error = 0) noexcept;
/// The job has been given to the device, whose own fence is `device`.
[[gnu::cold]] void record_run(const fence& f, const fence& device) noexcept;
/// `f` is not signaled before `on` is.
[[gnu::cold]] void record_dependency(const fence& f, const fence& on) noexcept;
/// The value of a timeline has moved (event::value), or it was closed (event::closed).
[[gnu::cold]] void record_timeline(event what, timeline& line, std::uint64_t seqno,
                                   int error = 0) noexcept;
/// A sync file, by the number of its socket, is made of a fence; or a fence of one, that a process
/// has exported, with the names that it has there.
[[gnu::cold]] void record_export(const fence& f, std::uint64_t file) noexcept;
[[gnu::cold]] void record_import(const fence& f, std::uint64_t file, std::uint64_t process,
                                 std::string_view driver, std::string_view timeline) noexcept;

/// The properties of a fence that these functions ask for.
struct fence_access;

}  // namespace trace
}  // namespace ufence
