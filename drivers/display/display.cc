// The driver `display`: see display.h for its jobs, and README.md.
#include "drivers/display/display.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <mutex>

#include "drivers/common/crew.h"
#include "ufence/driver.hpp"

namespace ufence::display {
namespace {

using driver::job;
using driver::job_list;

constexpr std::int64_t frame_ns = 1'000'000'000 / 120;

std::uint64_t scan_out(const std::uint32_t* pixels, std::uint64_t count) noexcept {
  std::uint64_t sum = 0xcbf29ce484222325;
  for (std::uint64_t i = 0; i < count; ++i) sum = (sum ^ pixels[i]) * 0x100000001b3;
  return sum;
}

class screen {
 public:
  static constexpr bool is_timeline = true;

  explicit screen(driver::services host) noexcept : host_(host) {}

  int start() { return crew_.hire<&screen::beam>(host_, "vblank", *this); }
  int submit(job& j);
  void cancel(job& j);
  void set_deadline(std::int64_t deadline_ns);
  void stop() { crew_.dismiss(); }

 private:
  void beam() noexcept;
  void vblank_locked(driver::settlement& later);

  const driver::services host_;
  driver::crew crew_;  // its mutex guards what follows
  job_list flips_;     // for the next vblank, in order
  std::int64_t soonest_ns_ = INT64_MAX;
  ufence_display_counters counters_{};
};

// A flip that waits has this in driver_private[2].
int waiting_mark;

int screen::submit(job& j) {
  switch (j.opcode) {
    case UFENCE_DISPLAY_FLIP: {
      const auto* const args = driver::args_of<ufence_display_flip>(j);
      if (args == nullptr || (args->pixels == nullptr && args->count != 0)) return -EINVAL;
      const std::scoped_lock lock(crew_.mutex);
      j.driver_private[2] = &waiting_mark;
      flips_.push_back(j);
      return 0;
    }
    case UFENCE_DISPLAY_QUERY: {
      const auto* const args = driver::args_of<ufence_display_query>(j);
      if (args == nullptr || args->counters == nullptr) return -EINVAL;
      {
        const std::scoped_lock lock(crew_.mutex);
        *args->counters = counters_;
      }
      host_.signal(j, 0);
      return 0;
    }
    default: return -EINVAL;
  }
}

void screen::cancel(job& j) {
  driver::settlement later = host_.later();
  const std::scoped_lock lock(crew_.mutex);
  if (j.driver_private[2] != &waiting_mark) return;  // shown
  flips_.remove(j);
  j.driver_private[2] = nullptr;
  host_.decide(j, -ECANCELED, later);
}

// The beam can't go faster: what is late is counted.
void screen::set_deadline(std::int64_t deadline_ns) {
  const std::scoped_lock lock(crew_.mutex);
  ++counters_.deadlines;
  soonest_ns_ = std::min(soonest_ns_, deadline_ns);
}

void screen::vblank_locked(driver::settlement& later) {
  ++counters_.vblanks;
  if (flips_.empty()) return;
  if (host_.now_ns() > soonest_ns_) ++counters_.missed;
  soonest_ns_ = INT64_MAX;
  std::uint64_t seqno = 0;
  while (job* const j = flips_.pop_front()) {
    j->driver_private[2] = nullptr;
    const ufence_display_flip args = *driver::args_of<ufence_display_flip>(*j);
    if (flips_.empty()) {
      const std::uint64_t sum = scan_out(args.pixels, args.count);
      if (args.checksum != nullptr) *args.checksum = sum;
      ++counters_.scanned;
    }
    ++counters_.flips;
    seqno = j->seqno;
  }
  // All of the frame at one time, as an interrupt handler does, under the lock.
  host_.decide_up_to(seqno, later);
}

void screen::beam() noexcept {
  std::unique_lock lock(crew_.mutex);
  std::int64_t next_ns = host_.now_ns() + frame_ns;
  while (!crew_.stopping) {
    const std::chrono::steady_clock::time_point at{std::chrono::nanoseconds(next_ns)};
    if (crew_.changed.wait_until(lock, at) == std::cv_status::no_timeout) continue;
    {
      driver::settlement later = host_.later();
      vblank_locked(later);
      lock.unlock();
    }
    lock.lock();
    // Frames that were missed are not made up for.
    next_ns = std::max(next_ns + frame_ns, host_.now_ns());
  }
  crew_.leave();
}

}  // namespace
}  // namespace ufence::display

UFENCE_CPP_DRIVER(ufence::display::screen, "display", "vblank", "a screen of 120 Hz");
