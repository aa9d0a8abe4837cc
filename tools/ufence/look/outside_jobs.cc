// Jobs of schedulers.
#include <algorithm>

#include "tools/ufence/look/outside_look.h"

namespace ufence::tool {

using debug::cause;

// Looks for the job with the fence's seqno among those of its entity, and among those in flight.
void outside_look::look_at_job(address entity, const copied& f, std::uint32_t n) {
  constexpr int jobs_max = 1'000'000;
  const std::optional<copied> e = steady(entity, where_.entity.size);
  if (!e) return;
  const address scheduled = e->word(where_.entity.scheduled_line);
  found_.nodes[n].type = owner_of(f) == scheduled ? "job's scheduled" : "job's finished";
  const std::uint64_t seqno = f.word(where_.fence.seqno);
  const auto seqno_of = [&](const copied& j) {
    return at_.get<std::uint64_t>(j.word(where_.job.finished) + where_.fence.seqno).value_or(0);
  };
  int looked_at = 0;
  address before = 0;  // *finished* of the one before
  for (const bool is_taken : {true, false}) {
    address at = e->word(is_taken ? where_.entity.first : where_.entity.incoming);
    const address first = at;
    for (; at != 0 && looked_at < jobs_max; ++looked_at) {
      const std::optional<copied> j = steady(at, where_.job.size);
      if (!j) break;
      if (seqno_of(*j) == seqno) {
        const bool is_pushed = is_taken || j->get<bool>(where_.job.is_committed);
        return tell_queued(*e, *j, before, is_pushed, is_taken ? at == first : before == 0, n);
      }
      before = j->word(where_.job.finished);
      at = j->word(where_.job.next);
    }
  }
  const address home = e->word(where_.entity.home);
  address at = home != 0 ? at_.get<address>(home + where_.scheduler.in_flight).value_or(0) : 0;
  for (; at != 0 && looked_at < jobs_max; ++looked_at) {
    const std::optional<copied> j = steady(at, where_.job.size);
    if (!j) break;
    at = j->word(where_.job.next);
    if (j->word(where_.job.entity) != entity || seqno_of(*j) != seqno) continue;
    const address device = j->word(where_.job.parent);
    if (device == 0) break;
    found_.nodes[n].note = "the job is with the device";
    found_.nodes[n].why = cause::none;
    if (is_pending(device)) add_edge(n, node_of(device), "the device's fence");
    return;
  }
  found_.nodes[n].note = "run() has the job";
  found_.nodes[n].why = cause::with_device;
}

void outside_look::tell_queued(const copied& entity, const copied& job, address before, bool is_pushed,
                               bool is_first, std::uint32_t n) {
  found_.nodes[n].note = "the job is queued";
  if (!is_pushed) {
    found_.nodes[n].why = cause::not_pushed;
  } else if (!is_first && before != 0) {
    found_.nodes[n].why = cause::none;
    add_edge(n, node_of(before), "the job before it");
  } else {
    tell_first(entity, job, n);
  }
}

// The first job of its entity's queue.
void outside_look::tell_first(const copied& entity, const copied& job, std::uint32_t n) {
  constexpr int holders_max = 64;
  const address home = entity.word(where_.entity.home);
  const std::optional<copied> scheduler = home != 0 ? steady(home, where_.scheduler.size) : std::nullopt;
  if (!scheduler) return;
  const auto used = scheduler->word(where_.scheduler.credits_used);
  const auto limit = scheduler->get<std::uint32_t>(where_.scheduler.credit_limit);
  debug::node& told = found_.nodes[n];
  if (scheduler->get<std::uint8_t>(where_.scheduler.pace) != where_.scheduler.running) {
    told.why = cause::scheduler_stopped;
  } else if (entity.get<std::uint8_t>(where_.entity.where) == where_.entity.waiting) {
    told.why = cause::none;
    add_edge(n, node_of(entity.word(where_.entity.waits_for)), "a dependency");
  } else if (used != 0 && used + job.get<std::uint32_t>(where_.job.credits) > limit) {
    told.why = cause::no_credits;
    address at = scheduler->word(where_.scheduler.in_flight);
    for (int i = 0; at != 0 && i < holders_max; ++i) {
      const std::optional<copied> j = steady(at, where_.job.size);
      if (!j) break;
      add_edge(n, node_of(j->word(where_.job.finished)), "it has credits");
      at = j->word(where_.job.next);
    }
  } else if (!scheduler->get<bool>(where_.scheduler.has_thread)) {
    told.note += "; the scheduler has no thread: run_ready() has to be called";
  }
}

// *scheduled* knows nothing of its job: it is found by the entities that are known by now.
void outside_look::look_at_scheduled() {
  std::ranges::sort(entities_);
  const auto rest = std::ranges::unique(entities_);
  entities_.erase(rest.begin(), rest.end());
  const auto count = static_cast<std::uint32_t>(found_.nodes.size());
  for (std::uint32_t n = 0; n < count; ++n) {
    if (fences_[n] == 0 || found_.nodes[n].state != "pending") continue;
    const std::optional<copied> f = at_.copy(fences_[n], where_.fence.size);
    if (!f || owner_of(*f) == 0) continue;
    for (const address e : entities_) {
      if (at_.get<address>(e + where_.entity.scheduled_line) != owner_of(*f)) continue;
      look_at_job(e, *f, n);
      break;
    }
  }
  for (auto n = count; n < found_.nodes.size(); ++n) look_at(n);
}

}  // namespace ufence::tool
