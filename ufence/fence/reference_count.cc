#include "ufence/fence/reference_count.h"

#include <pthread.h>

#include <cinttypes>
#include <cstdio>
#include <new>

#include "ufence/base/alloc.h"
#include "ufence/base/own_thread.h"
#include "ufence/base/system_thread.h"
#include "ufence/fence/report.h"

namespace ufence::detail {
namespace {

void tell(const counted_object& what) noexcept {
  send_report({.kind = report_kind::references_saturated,
               .context = what.context,
               .seqno = what.seqno,
               .driver_name = "",
               .timeline_name = "",
               .text = what.text});
}

void* tell_on_thread(void* argument) noexcept {
  system_thread::name_this("ufence-report");
  auto* what = static_cast<counted_object*>(argument);
  tell(*what);
  deallocate(what);
  return nullptr;
}

}  // namespace

void saturate(atomic<std::uint32_t>& references, std::uint32_t count,
              const counted_object& what) noexcept {
  // relaxed: nobody will free it, so nobody has to see anything
  references.store(references_saturated, mo::relaxed);
  // Only who comes first finds a count that has just passed the limit.
  constexpr std::uint32_t just_passed = references_max + references_max / 4;
  if (count >= just_passed) return;
  void* memory = allocate(sizeof(counted_object));
  if (memory != nullptr) {
    auto* copy = ::new (memory) counted_object(what);
    if (start_own_thread(&tell_on_thread, copy) == 0) return;
    deallocate(copy);
  }
  std::fprintf(stderr, "ufence: references saturated: %" PRIu64 ":%" PRIu64 ": %s\n", what.context,
               what.seqno, what.text);
}

}  // namespace ufence::detail
