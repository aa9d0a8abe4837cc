#include "ufence/fence/report.h"

#include <cinttypes>
#include <cstdio>
#include <new>

#include "ufence/base/alloc.h"
#include "ufence/base/lock_rank.h"
#include "ufence/rcu/rcu.h"

namespace ufence {
namespace {

struct handler_record {
  report_handler function = nullptr;
  void* context = nullptr;
};

constinit atomic<handler_record*> published{nullptr};

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
    case report_kind::kernel_warning: return "kernel-style interface";
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
  rcu::synchronize();
  deallocate(old);
  return {};
}

void send_report(const report& what) noexcept {
  rank_check_none();
  rcu::read_section section;
  const handler_record* record = rcu::dereference(published);
  if (record != nullptr) {
    record->function(what, record->context);
  } else {
    print(what);
  }
}

}  // namespace ufence
