// Static trace points (one nop each while nobody looks), named as the kernel's events of provider
// dma_fence; context and seqno with all 64 bits.
//   bpftrace -e 'usdt:/usr/lib/libufence.so:ufence:dma_fence_signaled { printf("%lu:%lu\n", arg0, arg1); }'
#pragma once

#include <sys/sdt.h>

#define UFENCE_TRACE(event, fence_) STAP_PROBE2(ufence, event, (fence_).context(), (fence_).seqno())
#define UFENCE_TRACE_ERROR(event, fence_, error_) \
  STAP_PROBE3(ufence, event, (fence_).context(), (fence_).seqno(), error_)
