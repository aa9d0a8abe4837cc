#include "ufence/fence/embedded_fence.h"

#include "ufence/base/check.h"
#include "ufence/fence/timeline.h"
#include "ufence/fence/trace.h"

namespace ufence {

using namespace fence_state;  // NOLINT(google-build-using-namespace): the bits of state.h

void embedded_fence::init(const fence_type& type, std::uint64_t context, std::uint64_t seqno,
                          backend* data, std::uint32_t refs, bool seqno_wraps) noexcept {
  UFENCE_DEBUG_CHECK(is_complete(type) && "a type has all that goes with what it says of itself");
  type_ = &type;
  owner_.context = context;
  fence::init(kind::embedded | (type.is_foreign ? kind::foreign : 0) |
                  (seqno_wraps ? kind::wraps : 0),
              seqno, data, refs);
}

void embedded_fence::init_next(const fence_type& type, timeline_issuer& issuer,
                               std::uint32_t refs) noexcept {
  UFENCE_DEBUG_CHECK(is_complete(type) && "a type has all that goes with what it says of itself");
  type_ = &type;
  const std::uint64_t seqno = issuer.number(*this);
  fence::init(kind::embedded | kind::has_timeline | (type.is_foreign ? kind::foreign : 0), seqno,
              nullptr, refs);
  UFENCE_PROBE(dma_fence_emit, *this);
}

void embedded_fence::set_signaled_at_birth(std::int64_t timestamp_ns) noexcept {
  timestamp_.set(timestamp_ns);
  // relaxed: nobody else knows it yet
  state_.store(signaled | enabled | settled | retired, mo::relaxed);
  if (trace::is_recording()) [[unlikely]]
    trace::record_fence(trace::event::signaled, *this);
}

}  // namespace ufence
