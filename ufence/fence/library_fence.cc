#include "ufence/fence/library_fence.h"

#include "ufence/fence/thread_state.h"
#include "ufence/fence/trace.h"

namespace ufence {

void library_fence::init(const fence_type& type, std::uint64_t context, std::uint64_t seqno,
                         backend* data, bool seqno_wraps) noexcept {
  data_ = data;
  embedded_fence::init(type, context, seqno, data, 1, seqno_wraps);
}

void library_fence::signal(int error, std::int64_t timestamp_ns) noexcept {
  get();
  settlement later;
  decide_into(detail::checked_error(error < 0 ? error : 0, *this), later, timestamp_ns);
}

// Enabling a container registers on what it holds, which enables other containers: they are elected
// here, and enabled by the outermost call, which returns when all are.
void library_fence::enable(fence& f) noexcept {
  auto& self = static_cast<library_fence&>(f);
  thread_state& thread = thread_state::mine();
  backend* data = nullptr;
  if (!self.enter_op(fence_state::enabled, data)) return;
  UFENCE_TRACE(enable_signal, self);
  self.get();
  self.next_ = thread.to_enable;
  thread.to_enable = &self;
  if (thread.is_enabling) return;

  thread.is_enabling = true;
  library_fence* done = nullptr;
  while (library_fence* next = thread.to_enable) {
    thread.to_enable = next->next_;
    {
      foreign_scope scope(thread, *next);
      next->enable_result_ = next->data_->ops->enable_signaling(next->data_);
    }
    next->next_ = done;
    done = next;
  }
  thread.is_enabling = false;

  // Callbacks of others may run from here on.
  while (library_fence* enabled = done) {
    done = enabled->next_;
    enabled->leave_op(enabled->data_);
    enabled->complete(enabled->enable_result_);
    enabled->put();
  }
  thread.run_queue();
}

void library_fence::end(fence& f) noexcept {
  auto& self = static_cast<library_fence&>(f);
  thread_state& thread = thread_state::mine();
  self.next_ = thread.to_end;
  thread.to_end = &self;
  if (thread.is_ending) return;
  thread.is_ending = true;
  while (library_fence* next = thread.to_end) {
    thread.to_end = next->next_;
    next->type().release(*next);
  }
  thread.is_ending = false;
}

}  // namespace ufence
