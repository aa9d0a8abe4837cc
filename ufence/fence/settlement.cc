#include "ufence/fence/settlement.h"

#include "ufence/fence/thread_state.h"

namespace ufence {

void settlement::append(fence& decided) noexcept {
#if defined(UFENCE_DEBUG_CHECKS) && UFENCE_DEBUG_CHECKS
  thread_state::mine().note_decided(decided);
#endif
  if (last_ == nullptr) {
    decided.link_.set(&decided);
  } else {
    decided.link_.set(last_->link_.get());
    last_->link_.set(&decided);
  }
  last_ = &decided;
}

void settlement::settle_slow() noexcept {
  thread_state& thread = thread_state::mine();
  thread.queue_chain(std::exchange(last_, nullptr));
  thread.run_queue();
}

}  // namespace ufence
