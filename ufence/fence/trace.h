// Static trace points (one nop each while nobody looks), named as the kernel's events of provider
// dma_fence; context and seqno with all 64 bits.
//   bpftrace -e 'usdt:/usr/lib/libufence.so:ufence:dma_fence_signaled { printf("%lu:%lu\n", arg0,
//   arg1); }'
#pragma once

#include <sys/sdt.h>

#include "ufence/fence/timeline.h"

// Arguments are computed whether somebody looks or not: no call for them.
#define UFENCE_TRACE(event, fence_) \
  STAP_PROBE2(ufence, event, (fence_).traced_context(), (fence_).seqno())
#define UFENCE_TRACE_ERROR(event, fence_, error_) \
  STAP_PROBE3(ufence, event, (fence_).traced_context(), (fence_).seqno(), error_)

namespace ufence {

inline std::uint64_t fence::traced_context() const noexcept {
  const timeline* line = owner();
  if (line == nullptr) return owner_.context;
  return has_timelines_context() ? line->context() : line->unordered_context(seqno_);
}

}  // namespace ufence
