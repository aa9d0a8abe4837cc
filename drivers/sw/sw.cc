// The driver `sw`: see sw.h for its jobs, and README.md.
#include "drivers/sw/sw.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <map>
#include <mutex>

#include "ufence/driver.hpp"

namespace ufence::sw {
namespace {

using driver::job;
using driver::job_list;

struct timeline {
  std::uint64_t value = 0;
  job_list points;  // in no order
  std::int64_t deadline_ns = INT64_MAX;
};

// A pending point has its timeline in driver_private[2].
timeline* timeline_of(const job& j) noexcept {
  return static_cast<timeline*>(j.driver_private[2]);
}

class software {
 public:
  explicit software(driver::services host) noexcept : host_(host) {}

  int submit(job& j);
  void cancel(job& j);
  void set_deadline(job& j, std::int64_t deadline_ns);
  void stop();

 private:
  int change(job& j, const ufence_sw_point& args, driver::settlement& later);
  int query(job& j);
  void end(timeline& t, job& j, int error, driver::settlement& later);

  const driver::services host_;
  std::mutex mutex_;  // guards what follows
  std::map<std::uint64_t, timeline> timelines_;
};

int software::submit(job& j) {
  if (j.opcode == UFENCE_SW_QUERY) return query(j);
  const auto* const args = driver::args_of<ufence_sw_point>(j);
  if (args == nullptr) return -EINVAL;
  driver::settlement later = host_.later();
  const std::scoped_lock lock(mutex_);
  return change(j, *args, later);
}

int software::change(job& j, const ufence_sw_point& args, driver::settlement& later) {
  timeline& t = timelines_[args.timeline];
  switch (j.opcode) {
    case UFENCE_SW_POINT:
      if (args.value > t.value) {
        j.driver_private[2] = &t;
        t.points.push_back(j);
        return 0;
      }
      break;
    case UFENCE_SW_ADVANCE:
      if (args.value > UINT64_MAX - t.value) return -EOVERFLOW;
      t.value += args.value;
      for (job *p = t.points.front(), *next = nullptr; p != nullptr; p = next) {
        next = job_list::next(*p);
        if (driver::args_of<ufence_sw_point>(*p)->value <= t.value) end(t, *p, 0, later);
      }
      if (t.points.empty()) t.deadline_ns = INT64_MAX;
      break;
    case UFENCE_SW_CLOSE:
      while (job* const p = t.points.front()) end(t, *p, -ENOENT, later);
      timelines_.erase(args.timeline);
      break;
    default: return -EINVAL;
  }
  host_.decide(j, 0, later);
  return 0;
}

int software::query(job& j) {
  const auto* const args = driver::args_of<ufence_sw_query>(j);
  if (args == nullptr || args->state == nullptr) return -EINVAL;
  {
    const std::scoped_lock lock(mutex_);
    const timeline& t = timelines_[args->timeline];
    *args->state = {.value = t.value, .pending = 0, .deadline_ns = t.deadline_ns};
    for (const job* p = t.points.front(); p != nullptr; p = job_list::next(*p)) {
      ++args->state->pending;
    }
  }
  host_.signal(j, 0);
  return 0;
}

// Out of every list before the decision: an op that is inside, or comes late, finds nothing of it.
void software::end(timeline& t, job& j, int error, driver::settlement& later) {
  t.points.remove(j);
  j.driver_private[2] = nullptr;
  host_.decide(j, error, later);
}

void software::cancel(job& j) {
  driver::settlement later = host_.later();
  const std::scoped_lock lock(mutex_);
  if (timeline* const t = timeline_of(j)) end(*t, j, -ECANCELED, later);
}

// The thread that sets one has the lock that ends a point: it is never counted for one that has ended.
void software::set_deadline(job& j, std::int64_t deadline_ns) {
  const std::scoped_lock lock(mutex_);
  if (timeline* const t = timeline_of(j)) t->deadline_ns = std::min(t->deadline_ns, deadline_ns);
}

void software::stop() {
  const std::scoped_lock lock(mutex_);
  // Pending jobs are the host's to end.
  for (auto& [number, t] : timelines_) {
    while (job* const p = t.points.pop_front()) p->driver_private[2] = nullptr;
  }
}

}  // namespace
}  // namespace ufence::sw

UFENCE_CPP_DRIVER(ufence::sw::software, "sw", "software", "software timelines");
