#include "ufence/fence/signalling.h"

#include <utility>

#include "ufence/base/tls.h"
#include "ufence/fence/lock_order.h"
#include "ufence/fence/report.h"

namespace ufence {

#if defined(UFENCE_DEBUG_CHECKS) && UFENCE_DEBUG_CHECKS

namespace {
struct depth_tag;
using depth = per_thread<depth_tag, unsigned>;
}  // namespace

namespace detail {

void begin_signalling() noexcept {
  ++depth::get();
  order_section_begins();
}
void end_signalling() noexcept {
  order_section_ends();
  --depth::get();
}

void check_may_wait() noexcept {
  check_not_signalling("a thread waits for a fence on the signalling path");
  order_wait();
}

signalling_pause::signalling_pause() noexcept : depth_(std::exchange(depth::get(), 0)) {}
signalling_pause::~signalling_pause() { depth::get() = depth_; }

void check_not_signalling(const char* what) noexcept {
  if (depth::get() == 0) return;
  send_report({.kind = report_kind::signalling_path,
               .context = 0,
               .seqno = 0,
               .driver_name = {},
               .timeline_name = {},
               .text = what});
}

}  // namespace detail

#else

namespace detail {
void begin_signalling() noexcept {}
void end_signalling() noexcept {}
}  // namespace detail

#endif

signalling_section::signalling_section() noexcept { detail::begin_signalling(); }
signalling_section::~signalling_section() { detail::end_signalling(); }

}  // namespace ufence
