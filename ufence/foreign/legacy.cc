#include "ufence/foreign/legacy.h"

#include "ufence/fence/signalling.h"
#include "ufence/fence/slab.h"
#include "ufence/fence/trace.h"
#include "ufence/foreign/legacy_fence.h"

namespace ufence {

static_assert(sizeof(legacy_fence) <= detail::large_slot_bytes);

constexpr fence_type legacy_fence::type_of_legacy_fences{
    .enable = &op_enable<legacy_fence>,
    .end = &end,
    .is_foreign = true,
    .poll = &op_poll<legacy_fence>,
    .set_deadline = &op_set_deadline<legacy_fence>,
    .wait = &op_wait<legacy_fence>,
    .signal = [](fence& f,
                 int error) noexcept { return static_cast<legacy_fence&>(f).signal(error, false); },
    .settle = &op_settle<legacy_fence>};

result<new_fence> create_legacy_fence(timeline_issuer& issuer, const legacy_ops& ops,
                                      void* data) noexcept {
  if (ops.lock == nullptr || ops.unlock == nullptr) return failure(EINVAL);
  return legacy_fence::create(issuer, ops, data);
}

result<new_fence> legacy_fence::create(timeline_issuer& issuer, const legacy_ops& ops,
                                       void* data) noexcept {
  if (issuer.line()->is_closed()) return failure(ECANCELED);
  detail::check_not_signalling("a thread allocates a fence on the signalling path");
  auto* const made = static_cast<legacy_fence*>(detail::slab_allocate(detail::slot_size::large));
  if (made == nullptr) return failure(ENOMEM);
  made->ops_ = &ops;
  made->data_ = data;
  made->init_next(type_of_legacy_fences, issuer, 2);
  return new_fence{fence_ref::adopt(made), signaler::adopt(made)};
}

bool signal_locked(signaler right, int error) noexcept {
  if (!right) return false;
  if (right.get()->is_independent()) return right.signal(error);
  fence& f = *right.give_up();
  return static_cast<legacy_fence&>(f).signal(detail::checked_error(error, f), true);
}

bool legacy_fence::signal(int error, bool lock_is_held) noexcept {
  if (is_inherited()) {
    put();
    thread_state::mine().run_queue();
    return false;
  }
  return signal_with(*this, lock_is_held, [this, error] {
    error_.set(error);
    timestamp_.set(now_ns());
  });
}

int legacy_fence::ask_to_enable() noexcept {
  UFENCE_TRACE(enable_signal, *this);
  return ops_->enable_signaling != nullptr ? ops_->enable_signaling(data_) : 0;
}

int legacy_fence::ask_whether_complete() noexcept {
  return ops_->poll != nullptr ? ops_->poll(data_) : 0;
}

void legacy_fence::tell_deadline(std::int64_t deadline_ns) noexcept {
  if (ops_->set_deadline != nullptr) ops_->set_deadline(data_, deadline_ns);
}

int legacy_fence::ask_to_wait(std::int64_t deadline_ns) noexcept {
  return ops_->wait != nullptr ? ops_->wait(data_, deadline_ns) : 0;
}

void legacy_fence::end(fence& f) noexcept {
  auto& self = static_cast<legacy_fence&>(f);
  thread_state& thread = thread_state::mine();
  if (self.ops_->release != nullptr) {
    const foreign_scope scope(thread, self);
    self.ops_->release(self.data_);
  }
  timeline& line = *self.owner();
  detail::slab_free(self, detail::slot_size::large);
  line.put();
  // The release op may have signaled others.
  thread.run_queue();
}

}  // namespace ufence
