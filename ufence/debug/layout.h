// Where in a process the library keeps what there is to see, for programs that look from outside: into
// /proc/PID/mem, or into a core file. No promise to programs that link the library.
//
// libufence.so has an ELF note: name "ufence", type `layout_note_type`, and the 16 bytes of layout_note. It says
// which version of this header the library was built with, and how far from the note its `layout` lies. That is
// filled in when the library is loaded, from the very build that runs: offsets differ with debug checks and
// sanitizers. A reader takes a layout of its own version alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace ufence::debug {

inline constexpr char layout_note_name[] = "ufence";
inline constexpr std::uint32_t layout_note_type = 1;
/// To be raised with each change of what is below, or of what it means.
#define UFENCE_LAYOUT_VERSION 6
inline constexpr std::uint32_t layout_version = UFENCE_LAYOUT_VERSION;

struct layout_note {
  std::uint32_t version;
  std::uint32_t size;     // of struct layout
  std::int64_t distance;  // of the layout from this very member, in memory
};
static_assert(sizeof(layout_note) == 16);

using layout_address = std::uint64_t;  // in the process
using layout_offset = std::uint32_t;   // of a member, in its object

/// Zeros until the library is loaded.
struct layout {
  std::uint32_t version;
  std::uint32_t size;

  // --- Where everything begins ---

  layout_address timelines;        // a pointer to the first timeline
  layout_address sleepers;         // a pointer to the first sleeper, once for each list
  std::uint32_t sleeper_lists;     // how many
  std::uint32_t sleeper_list_size;
  layout_address regions[2];       // a pointer to the newest region of fences of a size
  std::uint32_t slot_size[2];
  layout_address fork_generation;  // 32 bits
  layout_address shared_timelines;  // a pointer to the first one

  // --- What objects and callbacks are told by ---

  std::uint64_t submission_contexts, submission_context_bits;  // of fences of points that are not submitted
  layout_address type_of_arrays, type_of_chains;  // embedded.type
  layout_address release_of_imports;              // the release function of their type
  layout_address ops_of_jobs;                     // the first word of a backend
  layout_address retire_of_driver_jobs;           // backend_ops::retire
  layout_address arrays_callback, chains_callback, jobs_callback, entities_callback;
  layout_address in_fences_callback, exports_callback, wait_any_callback, pollables_callback;

  // --- Where things are in what else there is ---

  struct {
    layout_offset next, spans, touched_slots;
    std::uint32_t span_count, span_size, span_bytes;
  } region;
  struct {
    layout_offset state, references, owner, seqno, timestamp, callbacks, error, kind, generation, word, link;
    std::uint32_t size;
  } fence;
  struct {
    std::uint8_t has_timeline, ordered, in_order, legacy, has_backend, embedded;
  } kind;  // bits of fence.kind
  struct {
    layout_offset context, unordered_contexts, value, emitted, driver_name, name, device_word, maker, next, previous;
    std::uint32_t size;
  } timeline;
  struct {
    layout_offset next, previous, what, id, since_ns, thread, stack, one, several, lock;
    std::uint32_t size;
  } sleeper;
  struct {
    std::uint64_t flags;  // of the word that sleeper.lock leads to; the other bits are a place of its holder's
  } lock;
  struct {
    layout_offset frames, queue;
  } thread;
  struct {
    layout_offset of, callback, outer;
    std::uint32_t size;
  } frame;
  struct {
    layout_offset next, function;
    std::uint32_t size;
  } callback;
  struct {
    layout_offset type;
  } embedded;
  struct {
    layout_offset driver_name, timeline_name, copy_names, release;
  } embedded_type;
  struct {
    layout_offset is_any, size, children, callbacks_array;  // the last one: of the callback on a child
  } array;
  struct {
    layout_offset previous, contained, callbacks_chain;
  } chain;
  struct {
    layout_offset is_kernels, exporter, their_context;
  } import;
  struct {
    layout_offset name, end;
    std::uint32_t name_size;
  } exported;  // from its callback on
  struct {
    layout_offset next, page, context, name, is_owner;
    std::uint32_t name_size;
    layout_offset page_owner, page_value;  // in the page
  } shared;
  struct {
    layout_offset retire;
  } backend_ops;
  struct {
    layout_offset from_backend, from_callback;  // where these lie in a job
    layout_offset entity, finished, next, is_committed, credits, parent;
    std::uint32_t size;
  } job;
  struct {
    layout_offset from_callback, scheduled_line, home, incoming, first, where, waits_for;
    std::uint32_t size;
    std::uint32_t waiting;  // of `where`
  } entity;
  struct {
    layout_offset pace, credits_used, credit_limit, has_thread, in_flight;
    std::uint32_t size;
    std::uint32_t running;  // of `pace`
  } scheduler;
  struct {
    layout_offset phase, from_backend, callbacks_job, fence;
    std::uint32_t waiting, ready, with_driver;  // of `phase`
  } driver_job;
};
static_assert(std::is_trivially_copyable_v<layout>);

}  // namespace ufence::debug
