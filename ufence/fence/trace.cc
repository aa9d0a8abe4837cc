#include "ufence/fence/trace.h"

#include "ufence/fence/thread_state.h"

namespace ufence::trace {

struct fence_access {
  static timeline* line_of(const fence& f) noexcept { return f.owner(); }
  static std::uint64_t context_of(const fence& f) noexcept { return f.traced_context(); }
  static std::uint64_t flags_of(const fence& f) noexcept {
    std::uint64_t flags = 0;
    if (f.is_ordered()) flags |= fence_flag::ordered;
    if (f.is_embedded()) flags |= f.is_independent() ? fence_flag::container : fence_flag::legacy;
    if (f.owner() != nullptr && !f.has_timelines_context()) flags |= fence_flag::unordered;
    return flags;
  }
  static std::int64_t time_of(const fence& f) noexcept { return f.timestamp_.get(); }
  // Once in each recording, more or less: threads that do so at the same moment tell it several
  // times.
  static bool must_name(timeline& line) noexcept {
    // relaxed, both: a name told twice does no harm
    if (line.named_in_.load(mo::relaxed) == recording_number()) return false;
    line.named_in_.store(recording_number(), mo::relaxed);
    return true;
  }
};

namespace {

void name_once(timeline& line) noexcept {
  if (!fence_access::must_name(line)) return;
  record({.time_ns = 0,
          .context = line.context(),
          .seqno = 0,
          .a = 0,
          .b = 0,
          .error = 0,
          .kind = event::names,
          .more = 0},
         line.driver_name(), line.timeline_name());
}

}  // namespace

void record_fence(event what, const fence& f, int error) noexcept {
  const std::uint64_t context = fence_access::context_of(f);
  if (what == event::init) {
    timeline* const line = fence_access::line_of(f);
    if (line != nullptr) name_once(*line);
    return record(what, error, context, f.seqno(), line != nullptr ? line->context() : context,
                  fence_access::flags_of(f), 0);
  }
  // Of the signal the time that the fence shows; and no second look at the clock.
  const std::int64_t time_ns = what == event::signaled ? fence_access::time_of(f) : 0;
  record(what, error, context, f.seqno(), 0, 0, static_cast<std::uint64_t>(time_ns));
}

void record_wait(event what, const fence& f, std::uint64_t count, int error) noexcept {
  record(what, error, fence_access::context_of(f), f.seqno(), count, 0, 0);
}

void record_job(event what, const fence& f, std::uint64_t a, std::uint64_t b, int error) noexcept {
  record(what, error, fence_access::context_of(f), f.seqno(), a, b, 0);
}

void record_run(const fence& f, const fence& device) noexcept {
  record_job(event::job_run, f, fence_access::context_of(device), device.seqno());
}

void record_dependency(const fence& f, const fence& on) noexcept {
  record_job(event::depends, f, fence_access::context_of(on), on.seqno());
}

void record_timeline(event what, timeline& line, std::uint64_t seqno, int error) noexcept {
  name_once(line);
  record(what, error, line.context(), seqno, 0, 0, 0);
}

void record_export(const fence& f, std::uint64_t file) noexcept {
  record_job(event::sync_export, f, file);
}

void record_import(const fence& f, std::uint64_t file, std::uint64_t process,
                   std::string_view driver, std::string_view timeline) noexcept {
  record({.time_ns = 0,
          .context = fence_access::context_of(f),
          .seqno = f.seqno(),
          .a = file,
          .b = process,
          .error = 0,
          .kind = event::sync_import,
          .more = 0},
         driver, timeline);
}

}  // namespace ufence::trace
