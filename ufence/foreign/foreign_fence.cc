#include "ufence/foreign/foreign_fence.h"

#include "ufence/base/futex.h"
#include "ufence/fence/trace.h"

namespace ufence {

using namespace fence_state;  // NOLINT(google-build-using-namespace): the bits of state.h

bool foreign_fence::leave_foreign_op() noexcept {
  // [FENCE.27] release: the op has left the external lock; as [FENCE.26]; pairs with [FENCE.16],
  // [FENCE.18], [FENCE.23]
  const std::uint32_t old = state_.fetch_sub(one_op, mo::release);
  if ((old & called_back) != 0 && ops_inside(old) == 1) wake(old | set_settled());
  return thread_state::mine().run_queue();
}

std::uint32_t foreign_fence::set_settled() noexcept {
  // relaxed: it goes on with the release sequence of [FENCE.26] or [FENCE.27], just before
  return state_.fetch_or(settled, mo::relaxed);
}

void foreign_fence::finish() noexcept {
  const std::uint64_t context = owner_.context;
  const std::uint64_t number = seqno();
  // relaxed: a guess
  std::uint32_t s = state_.load(mo::relaxed);
  std::uint32_t next = 0;
  do {
    next = (s & ~waiters) | called_back | (ops_inside(s) == 0 ? settled : 0);
    // [FENCE.26] release: the callbacks have returned and the external lock is dropped. A thread
    // that finds it settled sees also what ops did that left before: this goes on with the release
    // of each of them. Nobody looks at that here; pairs with [FENCE.16], [FENCE.18], [FENCE.23]
  } while (!state_.compare_exchange_weak(s, next, mo::release, mo::relaxed));
  // Memory of an issuer may be gone: an address alone.
  if ((s & waiters) != 0) futex_wake_all(state_, futex_class::state);
  STAP_PROBE2(ufence, dma_fence_settled, context, number);
}

void foreign_fence::finish_and_put(bool is_in_issuers_memory) noexcept {
  if (!is_in_issuers_memory) {
    finish();
    put();
    return;
  }
  // The fence may lie on the stack of a thread that waits for the end of the signal: nothing of it
  // is touched after finish(). Where others drop their references meanwhile, its memory stays until
  // the end of the section, as the kernel's drivers have it.
  {
    const rcu::read_section section;
    // [FENCE.33] acq_rel: as [FENCE.12]; pairs with [FENCE.12], [FENCE.13]
    const std::uint32_t before = refs_.fetch_sub(1, mo::acq_rel);
    if (detail::is_saturated(before)) [[unlikely]]
      saturate(before);
    if (before != 1) return finish();
  }
  destroy();
}

}  // namespace ufence
