#include "ufence/fence/report.h"

#include <cinttypes>
#include <cstdio>
#include <new>

#include "ufence/base/alloc.h"
#include "ufence/base/clock.h"
#include "ufence/base/fork.h"
#include "ufence/base/futex.h"
#include "ufence/base/futex_until.h"
#include "ufence/base/lock_rank.h"
#include "ufence/base/tls.h"
#include "ufence/fence/signalling.h"
#include "ufence/fence/thread_state.h"
#include "ufence/rcu/rcu.h"

namespace ufence {
namespace {

// A handler that was set. Counted: 1 while it is published, or its successor waits for it, and one
// for each call of it that runs.
struct handler_record {
  report_handler function = nullptr;
  void* context = nullptr;
  atomic<std::uint32_t> references{1};
};

constinit atomic<handler_record*> published{nullptr};

// The calls of handlers on this thread: a handler may send a report, or set another handler.
struct call {
  const handler_record* of = nullptr;
  call* outer = nullptr;
};
struct calls_tag;
using calls = per_thread<calls_tag, call*>;

std::uint32_t calls_here(const handler_record& of) noexcept {
  std::uint32_t n = 0;
  for (const call* c = calls::get(); c != nullptr; c = c->outer) n += c->of == &of ? 1U : 0U;
  return n;
}

void put(handler_record& record) noexcept {
  // The last one is the one that replaces it, or a call that has done that: it has seen all others.
  // [REPORT.1] release: what the call did, before its context goes; pairs with [REPORT.2]
  if (record.references.fetch_sub(1, mo::release) == 1) {
    deallocate(&record);
  } else {
    futex_wake_all(record.references);
  }
}

// A child of fork() has none of the other threads' calls.
const fork_part at_fork({.before = [] noexcept {},
                         .in_parent = [] noexcept {},
                         .in_child =
                             [] noexcept {
                               // relaxed, both: one thread
                               handler_record* record = published.load(mo::relaxed);
                               if (record == nullptr) return;
                               record->references.store(1 + calls_here(*record), mo::relaxed);
                             }});

void print(const report& what) noexcept {
  const auto width = [](std::string_view text) { return static_cast<int>(text.size()); };
  if (what.context == 0) {
    std::fprintf(stderr, "ufence: %.*s%s%.*s: %.*s\n", width(to_string(what.kind)),
                 to_string(what.kind).data(), what.driver_name.empty() ? "" : ": ",
                 width(what.driver_name), what.driver_name.data(), width(what.text),
                 what.text.data());
    return;
  }
  std::fprintf(stderr, "ufence: %.*s: fence %" PRIu64 ":%" PRIu64 " %.*s %.*s: %.*s\n",
               width(to_string(what.kind)), to_string(what.kind).data(), what.context, what.seqno,
               width(what.timeline_name), what.timeline_name.data(), width(what.driver_name),
               what.driver_name.data(), width(what.text), what.text.data());
}

}  // namespace

std::string_view to_string(report_kind kind) noexcept {
  switch (kind) {
    case report_kind::signaler_dropped: return "signaler dropped";
    case report_kind::timeline_dropped: return "timeline dropped";
    case report_kind::bad_error: return "bad error";
    case report_kind::bad_device_word: return "bad device word";
    case report_kind::own_settlement_wait: return "wait for own settlement";
    case report_kind::callback_deadlock: return "callback deadlock";
    case report_kind::signalling_path: return "signalling path";
    case report_kind::driver: return "driver";
    case report_kind::job_late: return "job late";
    case report_kind::references_saturated: return "references saturated";
    case report_kind::kernel_warning: return "kernel-style interface";
    case report_kind::stuck: return "stuck";
    case report_kind::lock_order: return "lock order";
  }
  return "unknown";
}

std::error_code set_report_handler(report_handler handler, void* context) noexcept {
  handler_record* record = nullptr;
  if (handler != nullptr) {
    void* memory = allocate(sizeof(handler_record));
    if (memory == nullptr) return errno_code(ENOMEM);
    record = ::new (memory) handler_record{.function = handler, .context = context};
  }
  // [RCU.5] acq_rel: the record before its address, and the old one's contents; pairs with [RCU.2]
  handler_record* old = published.exchange(record, mo::acq_rel);
  if (old == nullptr) return {};
  // Those that found the old one have counted their calls.
  rcu::synchronize();
  const std::uint32_t own = 1 + calls_here(*old);
  static_cast<void>(
      futex_wait_until(old->references, no_deadline, [old, own](std::uint32_t& now) noexcept {
        // [REPORT.2] acquire: what other threads' calls did; pairs with [REPORT.1]
        now = old->references.load(mo::acquire);
        return now == own;
      }));
  put(*old);
  return {};
}

// The handler runs outside of the read section: it may wait for grace periods, and take its time.
void send_report(const report& what) noexcept {
  rank_check_none();
  handler_record* record = nullptr;
  {
    const rcu::read_section section;
    record = rcu::dereference(published);
    // relaxed: it is counted for the published one; a successor's grace period waits for the
    // section
    if (record != nullptr) record->references.fetch_add(1, mo::relaxed);
  }
  if (record == nullptr) return print(what);
  call*& top = calls::get();
  call here{.of = record, .outer = top};
  top = &here;
  {
    const interruption by_the_handler(thread_state::mine());
    const detail::signalling_pause pause;
    record->function(what, record->context);
  }
  top = here.outer;
  put(*record);
}

}  // namespace ufence
