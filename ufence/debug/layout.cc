#include "ufence/debug/layout.h"

#include <cstddef>

#include "ufence/base/fork.h"
#include "ufence/debug/access.h"
#include "ufence/fence/embedded_fence.h"
#include "ufence/fence/live.h"
#include "ufence/fence/slab.h"
#include "ufence/issuer/job_record.h"
#include "ufence/sync/exported.h"
#include "ufence/sync/imported.h"
#include "ufence/sync/shared_live.h"
#include "ufence/syncobj/point_waiter.h"

// The types that are read have private members, or a base class. Both compilers tell where its members lie all the same.
#pragma GCC diagnostic ignored "-Winvalid-offsetof"

// The note finds it by its name in the assembler. Written when the library is loaded, for readers outside.
extern "C" {
[[gnu::used, gnu::visibility("hidden")]] ufence::debug::layout ufence_layout;
}

#define UFENCE_TEXT_OF(what) #what
#define UFENCE_TEXT(what) UFENCE_TEXT_OF(what)
// The size of a layout: the assembler can not ask for it.
#define UFENCE_LAYOUT_SIZE 640
static_assert(sizeof(ufence::debug::layout) == UFENCE_LAYOUT_SIZE);
static_assert(ufence::debug::layout_note_type == 1);
__asm__(
    ".pushsection .note.ufence, \"a\", %note\n"
    ".balign 4\n"
    ".long 7, 16, 1\n"
    ".asciz \"ufence\"\n"
    ".balign 4\n"
    ".long " UFENCE_TEXT(UFENCE_LAYOUT_VERSION) ", " UFENCE_TEXT(UFENCE_LAYOUT_SIZE) "\n"
    ".quad ufence_layout - .\n"
    ".popsection\n");

namespace ufence::detail {

namespace {

using debug::layout;

template <class Pointer>
debug::layout_address address_of(Pointer what) noexcept {
  return reinterpret_cast<std::uintptr_t>(what);
}

// Where no object is: for asking how far a base class is from the front of one.
constexpr std::uintptr_t nowhere = std::uintptr_t{1} << 20;
std::uint32_t distance(const void* part) noexcept {
  return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(part) - nowhere);
}

}  // namespace

void debug_access::tell_fences(layout& to) noexcept {
  const slab_layout slabs = layout_of_slabs();
  for (unsigned i = 0; i != 2; ++i) {
    to.regions[i] = address_of(slabs.regions[i]);
    to.slot_size[i] = slabs.slot_bytes[i];
  }
  to.region = {.next = slabs.next,
               .spans = slabs.spans,
               .touched_slots = slabs.touched_slots,
               .span_count = slabs.span_count,
               .span_size = slabs.span_size,
               .span_bytes = slabs.span_bytes};
  to.fence = {.state = offsetof(fence, state_),
              .references = offsetof(fence, refs_),
              .owner = offsetof(fence, owner_),
              .seqno = offsetof(fence, seqno_),
              .timestamp = offsetof(fence, timestamp_),
              .callbacks = offsetof(fence, callbacks_),
              .error = offsetof(fence, error_),
              .kind = offsetof(fence, kind_),
              .generation = offsetof(fence, generation_),
              .word = offsetof(fence, word_),
              .link = offsetof(fence, link_),
              .size = sizeof(fence)};
  to.submission_contexts = submission_contexts;
  to.submission_context_bits = submission_context_bits;
  to.kind = {.has_timeline = fence::kind::has_timeline,
             .ordered = fence::kind::ordered,
             .in_order = fence::kind::in_order,
             .legacy = fence::kind::foreign,
             .has_backend = fence::kind::has_backend,
             .embedded = fence::kind::embedded};
}

void debug_access::tell_timelines(layout& to) noexcept {
  const live_layout live = layout_of_live();
  to.timelines = address_of(live.timelines);
  to.sleepers = address_of(live.sleepers);
  to.sleeper_lists = live.lists;
  to.sleeper_list_size = live.list_size;
  to.sleeper = {.next = live.next,
                .previous = live.previous,
                .what = live.what,
                .id = live.id,
                .since_ns = live.since_ns,
                .thread = live.thread,
                .stack = live.stack,
                .one = live.one,
                .several = live.several,
                .lock = live.lock,
                .size = sizeof(sleeping_thread)};
  to.lock = {.flags = lock_layout::get().flags};
  to.timeline = {.context = offsetof(timeline, context_),
                 .unordered_contexts = offsetof(timeline, unordered_contexts_),
                 .value = offsetof(timeline, value_),
                 .emitted = offsetof(timeline, emitted_),
                 .driver_name = offsetof(timeline, driver_name_),
                 .name = offsetof(timeline, timeline_name_),
                 .device_word = offsetof(timeline, device_word_),
                 .maker = offsetof(timeline, maker_),
                 .next = offsetof(timeline, next_live_),
                 .previous = offsetof(timeline, previous_live_),
                 .size = sizeof(timeline)};
  to.thread = {.frames = offsetof(thread_state, top), .queue = offsetof(thread_state, queue)};
  to.frame = {.of = offsetof(frame, of),
              .callback = offsetof(frame, node),
              .outer = offsetof(frame, outer),
              .size = sizeof(frame)};
}

void debug_access::tell_callbacks(layout& to) noexcept {
  to.callback = {.next = offsetof(callback, next_),
                 .function = offsetof(callback, function_),
                 .size = sizeof(callback)};
  to.arrays_callback = address_of(callback_of_arrays());
  to.chains_callback = address_of(callback_of_chains());
  to.jobs_callback = address_of(callback_of_jobs());
  to.entities_callback = address_of(callback_of_entities());
  to.in_fences_callback = address_of(callback_of_in_fences());
  to.wait_any_callback = address_of(callback_of_wait_any());
  to.pollables_callback = address_of(callback_of_pollable());
  const export_layout exports = layout_of_exports();
  to.exports_callback = address_of(exports.function);
  to.exported = {.name = exports.name, .end = exports.end, .name_size = sizeof(sync_name)};
}

void debug_access::tell_containers(layout& to) noexcept {
  to.type_of_arrays = address_of(&fence_array::type_of_arrays);
  to.type_of_chains = address_of(&fence_chain::type_of_chains);
  to.embedded = {.type = offsetof(embedded_fence, type_)};
  to.embedded_type = {.driver_name = offsetof(fence_type, driver_name),
                      .timeline_name = offsetof(fence_type, timeline_name),
                      .copy_names = offsetof(fence_type, copy_names),
                      .release = offsetof(fence_type, release)};
  to.array = {.is_any = offsetof(fence_array, mode_),
              .size = offsetof(fence_array, size_),
              .children = sizeof(fence_array),
              .callbacks_array = offsetof(fence_array::node, array)};
  to.chain = {.previous = offsetof(fence_chain, previous_),
              .contained = offsetof(fence_chain, contained_),
              .callbacks_chain = offsetof(fence_chain::list_nodes, chain)};
  const shared_layout shared = layout_of_shared_timelines();
  to.shared_timelines = address_of(shared.first);
  to.shared = {.next = shared.next,
               .page = shared.page,
               .context = shared.context,
               .name = shared.name,
               .is_owner = shared.is_owner,
               .name_size = sizeof(shared_timeline_state::name),
               .page_owner = shared.page_owner,
               .page_value = shared.page_value};
  const import_layout imports = layout_of_imports();
  to.release_of_imports = address_of(imports.release);
  to.import = {.is_kernels = imports.is_kernels,
               .exporter = imports.exporter,
               .their_context = imports.their_context};
}

void debug_access::tell_jobs(layout& to) noexcept {
  using sched::job;
  to.ops_of_jobs = address_of(ops_of_jobs());
  to.job = {.from_backend = distance(static_cast<backend*>(reinterpret_cast<job*>(nowhere))),
            .from_callback = distance(static_cast<callback*>(reinterpret_cast<job*>(nowhere))),
            .entity = offsetof(job, entity_),
            .finished = offsetof(job, finished_),
            .next = offsetof(job, next_),
            .is_committed = offsetof(job, is_committed_),
            .credits = offsetof(job, credits_),
            .parent = offsetof(job, parent_),
            .size = sizeof(job)};
  to.retire_of_driver_jobs = address_of(retire_of_jobs());
  to.backend_ops = {.retire = offsetof(backend_ops, retire)};
  to.driver_job = {.phase = offsetof(job_record, phase),
                   .from_backend = distance(static_cast<backend*>(reinterpret_cast<job_record*>(nowhere))),
                   .callbacks_job = offsetof(in_fence, job),
                   .fence = offsetof(job_record, of),
                   .waiting = static_cast<std::uint32_t>(job_phase::waiting),
                   .ready = static_cast<std::uint32_t>(job_phase::ready),
                   .with_driver = static_cast<std::uint32_t>(job_phase::with_driver)};
}

void debug_access::tell_schedulers(layout& to) noexcept {
  using sched::scheduler_options;
  to.entity = {.from_callback = offsetof(entity_core::node, of),
               .scheduled_line = offsetof(entity_core, scheduled_line_),
               .home = offsetof(entity_core, home_),
               .incoming = offsetof(entity_core, incoming_first_),
               .first = offsetof(entity_core, first_),
               .where = offsetof(entity_core, where_),
               .waits_for = offsetof(entity_core, waits_for_),
               .size = sizeof(entity_core),
               .waiting = static_cast<std::uint32_t>(entity_core::where::waiting)};
  constexpr std::uint32_t options = offsetof(scheduler_core, options_);
  to.scheduler = {.pace = offsetof(scheduler_core, pace_),
                  .credits_used = offsetof(scheduler_core, credits_used_),
                  .credit_limit = options + std::uint32_t{offsetof(scheduler_options, credit_limit)},
                  .has_thread = options + std::uint32_t{offsetof(scheduler_options, has_thread)},
                  .in_flight = offsetof(scheduler_core, oldest_),
                  .size = sizeof(scheduler_core),
                  .running = static_cast<std::uint32_t>(scheduler_core::pace::running)};
}

}  // namespace ufence::detail

namespace ufence::debug {
namespace {

struct told_at_load {
  told_at_load() noexcept {
    using access = detail::debug_access;
    layout& told = ufence_layout;
    access::tell_fences(told);
    access::tell_timelines(told);
    access::tell_callbacks(told);
    access::tell_containers(told);
    access::tell_jobs(told);
    access::tell_schedulers(told);
    told.fork_generation = reinterpret_cast<std::uintptr_t>(&ufence::detail::fork_generation);
    told.size = sizeof told;
    told.version = layout_version;
  }
};
const told_at_load at_load;

}  // namespace
}  // namespace ufence::debug
