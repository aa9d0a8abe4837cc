// Looking at a fence: no op, no callback, no foreign code (F17).
#include <string>

#include "ufence/base/clock.h"
#include "ufence/fence/embedded_fence.h"
#include "ufence/fence/fence_lock.h"
#include "ufence/fence/timeline.h"

namespace ufence {
namespace {

// Since when the stub is signaled.
const std::int64_t loaded_at_ns = now_ns();

}  // namespace

bool fence::is_settled() noexcept {
  // [FENCE.16] acquire: what callbacks wrote is visible; pairs with [FENCE.9], [FENCE.28],
  // [FENCE.3], [FENCE.24], [FENCE.26], [FENCE.27], [FENCE.36]
  if ((state_.load(mo::acquire) & fence_state::settled) != 0) return true;
  // The first look at a completed fence that nobody awaited settles it as well.
  if (!is_signaled()) return false;
  // [FENCE.23] acquire: as [FENCE.16]; pairs with [FENCE.3], [FENCE.9], [FENCE.28], [FENCE.24],
  // [FENCE.26], [FENCE.27], [FENCE.36]
  const std::uint32_t s = state_.load(mo::acquire);
  // A fence that was completed before a fork() and never awaited has no callbacks, though nobody marked it.
  const bool is_unmarked = is_ordered() && is_inherited() && (s & fence_state::awaited) == 0;
  return (s & fence_state::settled) != 0 || is_unmarked || has_nothing_to_settle();
}

bool fence::is_signaled_otherwise() noexcept {
  if (is_ordered()) return mark_if_completed();
  const fence_type& type = embedded_fence::of(*this).type();
  return type.shows_signaled != nullptr && type.shows_signaled(*this);
}

int fence::status() noexcept {
  if (!is_signaled()) return 0;
  // relaxed: is_signaled() acquired. A timeline fence without the bit is a parent's, completed and not
  // marked.
  const std::uint32_t s = state_.load(mo::relaxed);
  if (is_ordered() && (s & fence_state::signaled) == 0) {
    return result_ahead(s, owner_.owner->decided_inherited(*this));
  }
  const int error = error_.get();
  return error < 0 ? error : 1;
}

int fence::error() noexcept {
  const int status_now = status();
  return status_now < 0 ? status_now : 0;
}

std::int64_t fence::timestamp_ns() noexcept {
  if (this == &stub_) return loaded_at_ns;
  return is_signaled() ? timestamp_.get() : 0;
}

std::uint64_t fence::timeline_context() const noexcept {
  return has_timelines_context() ? owner_.owner->context()
                                 : owner_.owner->unordered_context(seqno_);
}

std::string_view fence::driver_name() const noexcept {
  if (const timeline* line = owner()) return line->driver_name();
  if (is_embedded()) return embedded_fence::of(*this).type().driver_name;
  return this == &stub_ ? "stub" : "detached-driver";
}

std::string_view fence::timeline_name() const noexcept {
  if (const timeline* line = owner()) return line->timeline_name();
  if (is_embedded()) return embedded_fence::of(*this).type().timeline_name;
  return this == &stub_ ? "stub" : "signaled-timeline";
}

std::string fence::describe() {
  std::string text = std::to_string(context()) + ":" + std::to_string(seqno());
  text.append(" ").append(timeline_name()).append(" ").append(driver_name());
  const int status_now = status();
  if (status_now < 0) {
    text.append(" error ").append(std::to_string(status_now));
  } else {
    text.append(status_now == 0 ? " unsignalled" : " signalled");
  }
  return text;
}

}  // namespace ufence
