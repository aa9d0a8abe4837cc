// Jobs of schedulers.
#include <utility>

#include "ufence/debug/access.h"

namespace ufence::detail {

// Looks for the job with this seqno among those of an entity, with the locks of its scheduler and its
// own held: for as long as its queue is.
debug_access::job_look debug_access::look_at_job(entity_core& e, std::uint64_t seqno) {
  using stage = job_look::stage;
  constexpr std::size_t others_max = 64;
  job_look found;
  found.holding_credits.reserve(others_max);  // not under the locks
  e.with_home([&](scheduler_core* home) UFENCE_NO_TSA {
    const sched::job* before = nullptr;
    const auto look = [&](const sched::job& j, bool is_pushed, bool is_first) UFENCE_NO_TSA {
      found.at = stage::queued;
      found.is_pushed = is_pushed;
      found.is_first = is_first;
      if (before != nullptr) found.before = before->finished_;
      if (home != nullptr && is_first && is_pushed) {
        found.is_stopped = home->pace_ != scheduler_core::pace::running;
        found.lacks_credits = !home->fits_locked(j);
        if (e.where_ == entity_core::where::waiting) found.waits_for = e.waits_for_;
      }
    };
    for (const sched::job* j = e.first_; j != nullptr; j = j->next_) {
      if (j->seqno() == seqno) return look(*j, true, j == e.first_);
      before = j;
    }
    for (const sched::job* j = e.incoming_first_; j != nullptr; j = j->next_) {
      if (j->seqno() == seqno) return look(*j, j->is_committed_, before == nullptr);
      before = j;
    }
  });
  e.with_home([&](scheduler_core* home) UFENCE_NO_TSA {
    if (home == nullptr) return;
    found.has_thread = home->options_.has_thread;
    for (const sched::job* j = home->oldest_; j != nullptr; j = j->next_) {
      if (j->entity_ == &e && j->seqno() == seqno) {
        found.at = stage::in_flight;
        found.device = j->parent();
      } else if (found.lacks_credits && found.holding_credits.size() < others_max) {
        found.holding_credits.push_back(j->finished_);
      }
    }
  });
  return found;
}

}  // namespace ufence::detail
