#include "ufence/fence/embedded_fence.h"

#include "ufence/fence/thread_state.h"
#include "ufence/fence/trace.h"

namespace ufence {

void embedded_fence::init(std::uint64_t context, std::uint64_t seqno, backend* data) noexcept {
  owner_.context = context;
  data_ = data;
  fence::init(kind::embedded | (type_->seqno_wraps ? kind::wraps : 0), seqno, data, 1);
}

void embedded_fence::complete_embedded(int error, std::int64_t timestamp_ns) noexcept {
  get();
  settlement later;
  decide_into(detail::checked_error(error < 0 ? error : 0, *this), later, timestamp_ns);
}

// Enabling a container registers on what it holds, which enables other containers: they are elected
// here, and enabled by the outermost call, which returns when all are.
void embedded_fence::enable_embedded() noexcept {
  thread_state& thread = thread_state::mine();
  backend* data = nullptr;
  if (!enter_op(fence_state::enabled, data)) return;
  UFENCE_TRACE(dma_fence_enable_signal, *this);
  get();
  next_ = thread.to_enable;
  thread.to_enable = this;
  if (thread.is_enabling) return;

  thread.is_enabling = true;
  embedded_fence* done = nullptr;
  while (embedded_fence* f = thread.to_enable) {
    thread.to_enable = f->next_;
    {
      foreign_scope scope(thread, *f);
      f->enable_result_ = f->data_->ops->enable_signaling(f->data_);
    }
    f->next_ = done;
    done = f;
  }
  thread.is_enabling = false;

  // Callbacks of others may run from here on.
  while (embedded_fence* f = done) {
    done = f->next_;
    f->leave_op(f->data_);
    f->complete(f->enable_result_);
    f->put();
  }
  thread.run_queue();
}

void embedded_fence::end() noexcept {
  thread_state& thread = thread_state::mine();
  next_ = thread.to_end;
  thread.to_end = this;
  if (thread.is_ending) return;
  thread.is_ending = true;
  while (embedded_fence* f = thread.to_end) {
    thread.to_end = f->next_;
    f->type_->release(*f);
  }
  thread.is_ending = false;
}

}  // namespace ufence
