// The members of other layers' classes that the debug layer reads, though they are private. Nothing is changed
// through it. Inside the layer only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ufence/container/array.h"
#include "ufence/container/chain.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/fence_lock.h"
#include "ufence/fence/thread_state.h"
#include "ufence/fence/timeline.h"
#include "ufence/sched/core.h"
#include "ufence/sched/job.h"

namespace ufence::debug {
struct layout;
}  // namespace ufence::debug

namespace ufence::detail {

/// A friend of those classes.
struct debug_access {
  // --- Fences: the caller has a reference ---

  // relaxed: told to people, and stale by then
  static std::uint32_t state(const fence& f) noexcept { return f.state_.load(mo::relaxed); }
  static bool is_ordered(const fence& f) noexcept { return f.is_ordered(); }
  static bool is_embedded(const fence& f) noexcept { return f.is_embedded(); }
  static bool is_in_order(const fence& f) noexcept {
    return (f.kind_ & fence::kind::in_order) != 0;
  }
  static bool has_backend(const fence& f) noexcept { return f.has_backend(); }
  /// Of a pending fence with one; may be the issuer's again at once: only its address is told.
  static const void* backend_of(const fence& f) noexcept {
    // relaxed: read only as memory that may be gone
    return reinterpret_cast<const void*>(f.word_.load(mo::relaxed));
  }
  /// Not signaled, without marking it as a look would.
  static bool is_pending(const fence& f) noexcept {
    if ((state(f) & fence_state::signaled) != 0) return false;
    // relaxed: as state()
    return !f.is_ordered() ||
           f.owner_.owner->decided(f.seqno_, f.owner_.owner->value_.load(mo::relaxed)) == 0;
  }
  static bool was_inherited(const fence& f) noexcept { return f.is_inherited(); }
  static bool has_callbacks(fence& f) noexcept {
    f.lock();
    // relaxed: LOCK orders
    const bool any = f.callbacks_.load(mo::relaxed) != nullptr;
    f.unlock();
    return any;
  }
  /// Calls visit(callback&) for those that are queued, with LOCK held: it may take references, and do
  /// little else. At most `max`.
  /// @return  how many were visited
  template <class Visit>
  static std::size_t visit_callbacks(fence& f, std::size_t max, Visit visit) {
    std::size_t count = 0;
    f.lock();
    // relaxed: LOCK orders
    callback* const head = f.callbacks_.load(mo::relaxed);
    for (callback* c = head; c != nullptr && count < max; ++count) {
      visit(*c);
      c = c->next_.get();
      if (c == head) c = nullptr;
    }
    f.unlock();
    return count;
  }
  static callback_function function_of(const callback& c) noexcept { return c.function_; }
  /// The fence after this one in a settle queue of a thread that sleeps.
  static fence* next_in_queue(const fence& f) noexcept { return f.link_.get(); }

  // --- Timelines ---

  static bool try_get(timeline& line) noexcept { return line.references_.try_get(); }
  static const void* maker(const timeline& line) noexcept { return line.maker_; }
  /// The seqno that the device has written; false: it has no word, or the timeline is closed.
  static bool read_device_word(timeline& line, std::uint64_t& seqno) noexcept {
    if (line.device_word_ == nullptr || line.is_inherited()) return false;
    const scoped_lock guard(line.lock_);
    // relaxed: CLOSED is set before this lock is taken by the thread that closes it, and the word stays mapped
    // until then
    const std::uint64_t value = line.value_.load(mo::relaxed);
    if ((value & timeline::closed) != 0) return false;
    // relaxed: nothing that the device wrote before is read
    seqno = extend_seqno(line.device_word_->load(mo::relaxed), value);
    return true;
  }

  // --- Containers ---

  static callback_function callback_of_arrays() noexcept { return &fence_array::on_child; }
  static callback_function callback_of_chains() noexcept { return &fence_chain::on_contained; }
  static fence& array_of(callback& c) noexcept {
    return *static_cast<fence_array::node&>(c).array;
  }
  static fence& chain_of(callback& c) noexcept {
    return *static_cast<fence_chain::list_nodes&>(c).chain;
  }
  static const atomic<fence*>& previous_of(const fence_chain& c) noexcept { return c.previous_; }

  // --- Schedulers (jobs.cc) ---

  using entity_core = sched::detail::entity_core;
  using scheduler_core = sched::detail::scheduler_core;
  static callback_function callback_of_entities() noexcept {
    return &scheduler_core::dependency_done;
  }
  static callback_function callback_of_jobs() noexcept { return &sched::job::device_done; }
  static entity_core& entity_of(callback& c) noexcept {
    return static_cast<entity_core::node&>(c).of;
  }
  static fence& finished_of(callback& c) noexcept { return *sched::job::of(c).finished_; }
  static const backend_ops* ops_of_jobs() noexcept { return &sched::job::finished_ops; }
  struct job_look;
  static job_look look_at_job(entity_core& e, std::uint64_t seqno);
  static entity_core& entity_of_job(backend& b) noexcept { return *sched::job::of(&b).entity_; }
  static bool is_scheduled_line(const entity_core& e, const timeline* line) noexcept {
    return e.scheduled_line_.line().get() == line;
  }

  // --- Where all that lies in memory (layout.cc) ---

  static void tell_fences(debug::layout& to) noexcept;
  static void tell_timelines(debug::layout& to) noexcept;
  static void tell_callbacks(debug::layout& to) noexcept;
  static void tell_containers(debug::layout& to) noexcept;
  static void tell_jobs(debug::layout& to) noexcept;
  static void tell_schedulers(debug::layout& to) noexcept;
};

/// The facts about a job that has not ended.
struct debug_access::job_look {
  enum class stage : std::uint8_t { ended, queued, running, in_flight } at = stage::ended;
  bool is_pushed = true;
  bool is_first = false;         // of its entity
  bool is_stopped = false;       // its scheduler
  bool lacks_credits = false;
  bool has_thread = true;        // the scheduler
  fence_ref waits_for = {};           // what its entity waits for before it runs
  fence_ref device = {};              // what the device is to signal
  fence_ref before = {};              // *finished* of the job before it in its entity
  std::vector<fence_ref> holding_credits = {};
};

}  // namespace ufence::detail
