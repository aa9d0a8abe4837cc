// The kind of one fence, the fences that it waits for, and the threads that wait for it.
#include <algorithm>
#include <utility>

#include "ufence/debug/gatherer.h"
#include "ufence/debug/process_facts.h"
#include "ufence/fence/names.h"
#include "ufence/issuer/job_record.h"
#include "ufence/rcu/rcu.h"
#include "ufence/sync/imported.h"
#include "ufence/sync/shared_live.h"
#include "ufence/syncobj/point_waiter.h"

namespace ufence::debug {

void gatherer::look_at(std::uint32_t n) {
  if (!fences_[n]) return;
  const fence_ref f = fences_[n];
  node& told = found_.nodes[n];
  const std::uint32_t state = access::state(*f);
  told.is_enabled = (state & (fence_state::enabled | fence_state::awaited)) != 0;
  if (access::is_pending(*f)) {
    told.state = "pending";
    told.why = cause::never_signaled;
    look_at_issuer(*f, n);
    look_into(*f, n);
    look_at_shared(*f, n);
  } else {
    // A completed timeline fence that nobody has looked at has no callbacks.
    const bool is_unmarked = access::is_ordered(*f) && (state & fence_state::awaited) == 0;
    const bool is_settled = (state & fence_state::settled) != 0 || is_unmarked;
    told.type = "fence";
    told.state = is_settled ? "signaled" : "signaled, not settled";
    told.error = f->error();
    told.why = is_settled ? cause::none : cause::callback_runs;
  }
  look_at_callbacks(*f, n);
}

// --- What it is made of ---

void gatherer::look_into(fence& f, std::uint32_t n) {
  constexpr std::uint32_t children_max = 10'000;
  if (fence_array* const array = fence_array::from(f)) {
    const bool is_any = array->mode() == array_mode::any;
    found_.nodes[n].type = (is_any ? "array (any of " : "array (all of ") +
                           std::to_string(array->size()) + ")";
    for (std::uint32_t i = 0; i < std::min(array->size(), children_max); ++i) {
      fence& child = array->child(i);
      if (!child.is_signaled()) add_edge(n, node_of(child), {});
    }
    if (found_.nodes[n].why == cause::never_signaled) found_.nodes[n].why = cause::none;
  } else if (fence_chain* const chain = fence_chain::from(f)) {
    found_.nodes[n].type = "chain";
    if (!chain->contained().is_signaled()) add_edge(n, node_of(chain->contained()), {});
    fence_ref before;
    {
      const rcu::read_section reading;
      before = fence::get_rcu(access::previous_of(*chain));
    }
    if (before && !before->is_signaled()) add_edge(n, node_of(*before), "the point before");
    found_.nodes[n].why = cause::none;
  } else if (access::is_embedded(f)) {
    look_at_import(f, n);
  }
}

void gatherer::look_at_import(fence& f, std::uint32_t n) {
  detail::import_state state;
  if (!detail::find_import(f, state)) return;
  node& told = found_.nodes[n];
  told.type = state.is_kernels ? "sync file of the kernel" : "sync file of another process";
  told.export_key = state.timeline;
  imported_from source{};
  if (detail::find_source(f, source)) told.source_context = source.context;
  if (state.is_kernels) return;
  wait_for_process(n, state.exporter, state.maker == detail::peer_state::closed);
}

// A point that another process has to signal.
void gatherer::look_at_shared(fence& f, std::uint32_t n) {
  detail::shared_timeline_state state;
  if (f.owner() != nullptr || !detail::find_shared_timeline(f.context(), state)) return;
  node& told = found_.nodes[n];
  told.type = "point of a shared timeline";
  told.timeline = state.name.data();
  told.note = "the last point that is reached is " + std::to_string(state.value);
  if (state.is_owner) return;
  wait_for_process(n, process_of_thread(static_cast<int>(state.owner_thread)), state.owner_thread == 0);
}

// @param id  0: unknown
void gatherer::wait_for_process(std::uint32_t n, int id, bool is_gone) {
  node process{.kind = node_kind::process, .id = id};
  const char letter = id > 0 ? state_of_process(id, process.driver) : '\0';
  tell_of_process(process, letter, is_gone);
  found_.nodes[n].why = cause::none;
  for (std::uint32_t p = 0; p < found_.nodes.size(); ++p) {
    if (found_.nodes[p].kind == node_kind::process && found_.nodes[p].id == process.id) {
      return add_edge(n, p, {});
    }
  }
  const auto p = static_cast<std::uint32_t>(found_.nodes.size());
  fences_.emplace_back();
  found_.nodes.push_back(std::move(process));
  add_edge(n, p, {});
}

// --- Who has to signal it ---

void gatherer::look_at_issuer(fence& f, std::uint32_t n) {
  node& told = found_.nodes[n];
  const timeline* const line = f.owner();
  told.type = !fence_names::stay(f)    ? "fence of the kernel's interface"
              : !f.is_independent()    ? "legacy fence"
              : access::is_ordered(f)  ? "timeline fence"
              : access::is_embedded(f) ? "fence of the library"
              : line != nullptr        ? "fence"
                                       : "plain fence";
  if (line != nullptr) {
    told.place = modules_.place_of(access::maker(*line));
    const auto at = timeline_at_.find(line);
    if (access::is_ordered(f) && at != timeline_at_.end()) {
      const timeline_info& info = found_.timelines[at->second];
      told.note = "the timeline's value is " + std::to_string(info.completed) + ", its newest seqno " +
                  std::to_string(info.emitted);
      if (info.has_device_word && info.device_seqno >= f.seqno()) {
        told.why = cause::lost_notification;
        told.note += "; the device has written " + std::to_string(info.device_seqno);
      }
    }
  }
  if (line == nullptr && (f.context() & submission_context_bits) == submission_contexts) {
    told.type = "point of a syncobj";
    told.why = cause::not_submitted;
  }
  if (!access::is_embedded(f) && access::has_backend(f)) look_at_backend(f, n);
}

// The issuer's data may go at any time: it is read as memory that may not be there.
void gatherer::look_at_backend(fence& f, std::uint32_t n) {
  const void* const data = access::backend_of(f);
  backend copy{};
  backend_ops ops{};
  if (!read_own(data, copy) || copy.ops == nullptr || !read_own(copy.ops, ops)) return;
  if (copy.ops == access::ops_of_jobs()) {
    // Inside its gate the job stays; its ops are the library's own.
    const issuer_op op(f);
    if (!op || op.data()->ops != access::ops_of_jobs()) return;
    auto entity = ref<access::entity_core>::take(access::entity_of_job(*op.data()));
    look_at_job(*entity, f, n);
    entities_.push_back(std::move(entity));
    return;
  }
  node& told = found_.nodes[n];
  if (ops.retire != nullptr && ops.retire == detail::retire_of_jobs()) {
    detail::job_phase phase{};
    const auto* const record = static_cast<const detail::job_record*>(static_cast<const backend*>(data));
    told.type = "job of a driver module";
    if (!read_own(&record->phase, phase) || !access::is_pending(f)) return;
    if (phase == detail::job_phase::with_driver) {
      told.why = cause::with_driver;
    } else if (phase == detail::job_phase::waiting || phase == detail::job_phase::ready) {
      told.note = phase == detail::job_phase::waiting ? "the job waits for its in-fences"
                                                      : "the job waits for its turn";
    }
  } else if (told.place.module.empty()) {
    told.place = modules_.place_of(copy.ops);
  }
  if (fence_state::ops_inside(access::state(f)) != 0) told.why = cause::op_runs;
}

// --- Jobs of schedulers ---

void gatherer::look_at_job(access::entity_core& e, fence& f, std::uint32_t n) {
  using stage = access::job_look::stage;
  access::job_look job = access::look_at_job(e, f.seqno());
  node& told = found_.nodes[n];
  told.type = access::is_scheduled_line(e, f.owner()) ? "job's scheduled" : "job's finished";
  if (!access::is_pending(f)) return;
  if (job.at == stage::queued) return tell_queued_job(job, n);
  if (job.device) {
    told.note = "the job is with the device";
    told.why = cause::none;
    if (!job.device->is_signaled()) add_edge(n, node_of(*job.device), "the device's fence");
  } else {
    told.note = "run() has the job";
    told.why = cause::with_device;
  }
}

void gatherer::tell_queued_job(access::job_look& job, std::uint32_t n) {
  node& told = found_.nodes[n];
  told.note = "the job is queued";
  if (!job.is_pushed) {
    told.why = cause::not_pushed;
  } else if (!job.is_first && job.before) {
    told.why = cause::none;
    add_edge(n, node_of(*job.before), "the job before it");
  } else if (job.is_stopped) {
    told.why = cause::scheduler_stopped;
  } else if (job.waits_for) {
    told.why = cause::none;
    add_edge(n, node_of(*job.waits_for), "a dependency");
  } else if (job.lacks_credits) {
    told.why = cause::no_credits;
    for (const fence_ref& holder : job.holding_credits) {
      add_edge(n, node_of(*holder), "it has credits");
    }
  } else if (!job.has_thread) {
    told.note += "; the scheduler has no thread: run_ready() has to be called";
  }
}

// *scheduled* knows nothing of its job: it is found by the entities that are known by now.
void gatherer::look_at_scheduled() {
  const auto count = static_cast<std::uint32_t>(found_.nodes.size());
  for (std::uint32_t n = 0; n < count; ++n) {
    if (!fences_[n] || found_.nodes[n].state != "pending") continue;
    for (const auto& e : entities_) {
      if (!access::is_scheduled_line(*e, fences_[n]->owner())) continue;
      look_at_job(*e, *fences_[n], n);
      break;
    }
  }
  for (auto n = count; n < found_.nodes.size(); ++n) look_at(n);
}

}  // namespace ufence::debug
