// The work that a decision leaves: retire, callbacks, the flip to settled.
#pragma once

#include <utility>

#include "ufence/base/api.h"

namespace ufence {

class fence;

/// Decided fences that still have to be settled, in the order of their decisions. Declare it before
/// taking the locks under which you decide: it settles, at the latest in its destructor, after they
/// are dropped (F5).
///
///     settlement later;
///     std::lock_guard guard(my_lock);
///     my_signaler.decide(0, later);
///
/// One pointer in size. Threads: one at a time per object; it may be handed to another thread.
class UFENCE_API settlement {
 public:
  constexpr settlement() noexcept = default;
  settlement(settlement&& other) noexcept : last_(std::exchange(other.last_, nullptr)) {}
  settlement& operator=(settlement&& other) noexcept {
    settle();
    last_ = std::exchange(other.last_, nullptr);
    return *this;
  }
  ~settlement() { settle(); }

  /// Runs retires and callbacks of what was decided, with no lock held; inside a callback, op or
  /// retire it queues them on this thread instead (F15). Afterwards the object is empty.
  void settle() noexcept {
    if (last_ != nullptr) settle_slow();
  }
  [[nodiscard]] bool empty() const noexcept { return last_ == nullptr; }

  /// The C ABI carries a settlement as one pointer.
  [[nodiscard]] static settlement adopt(void* head) noexcept {
    settlement s;
    s.last_ = static_cast<fence*>(head);
    return s;
  }
  [[nodiscard]] void* give_up() noexcept { return std::exchange(last_, nullptr); }

 private:
  friend class fence;
  friend class embedded_fence;
  friend class timeline_issuer;
  void append(fence& decided) noexcept;
  void settle_slow() noexcept;

  fence* last_ = nullptr;  // the last of a circular chain through fence::link_; owns a reference of each
};
static_assert(sizeof(settlement) == sizeof(void*));

}  // namespace ufence
