// trace/events/dma_fence.h.
#include <sys/sdt.h>

#include "ufence/kernel/linux/dma-fence.h"
#include "ufence/kernel/trace/events/dma_fence.h"

void trace_dma_fence_emit(dma_fence* f) {
  STAP_PROBE2(ufence, dma_fence_emit, f->context, f->seqno);
}
void trace_dma_fence_init(dma_fence* f) {
  STAP_PROBE2(ufence, dma_fence_init, f->context, f->seqno);
}
void trace_dma_fence_destroy(dma_fence* f) {
  STAP_PROBE2(ufence, dma_fence_destroy, f->context, f->seqno);
}
void trace_dma_fence_enable_signal(dma_fence* f) {
  STAP_PROBE2(ufence, dma_fence_enable_signal, f->context, f->seqno);
}
void trace_dma_fence_signaled(dma_fence* f) {
  STAP_PROBE3(ufence, dma_fence_signaled, f->context, f->seqno, f->error);
}
void trace_dma_fence_wait_start(dma_fence* f) {
  STAP_PROBE2(ufence, dma_fence_wait_start, f->context, f->seqno);
}
void trace_dma_fence_wait_end(dma_fence* f) {
  STAP_PROBE2(ufence, dma_fence_wait_end, f->context, f->seqno);
}
