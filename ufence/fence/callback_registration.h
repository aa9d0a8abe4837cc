// A callback that is registered for as long as an object lives. A part of fence.h, which has what
// it needs.
#pragma once

#include <system_error>
#include <utility>

#include "ufence/base/api.h"
#include "ufence/base/result.h"
#include "ufence/fence/fence.h"

namespace ufence {

/// Registers a callable for as long as it lives: dropping it removes the callback and waits for it
/// if it runs (F11). `Function` is called with the fence; it must not throw. Not movable: nothing
/// is allocated.
template <class Function>
class callback_registration : private callback {
 public:
  explicit callback_registration(Function function) noexcept
      : callback(&callback_registration::run), function_(std::move(function)) {}
  ~callback_registration() { remove(); }

  /// As fence::add_callback(). One fence at a time: -EBUSY.
  [[nodiscard]] std::error_code add(const fence_ref& f) noexcept {
    if (fence_) return errno_code(EBUSY);
    const std::error_code failed = f->add_callback(*this);
    if (!failed) fence_ = f;
    return failed;
  }
  /// As fence::remove_callback(); false if nothing is registered. Aborts, after a report, where two
  /// running callbacks drop each other's registration: there is no way to go on.
  bool remove() noexcept;

 private:
  static void run(callback& node, fence& f) noexcept {
    static_cast<callback_registration&>(node).function_(f);
  }
  fence_ref fence_;
  Function function_;
};

namespace detail {
/// A registration can't be dropped (F11, -EDEADLK): reports and aborts.
[[noreturn]] UFENCE_API void registration_deadlock(fence& f) noexcept;
}  // namespace detail

template <class Function>
bool callback_registration<Function>::remove() noexcept {
  if (!fence_) return false;
  const result<bool> removed = fence_->remove_callback(*this);
  if (!removed) detail::registration_deadlock(*fence_);
  fence_.reset();
  return *removed;
}

}  // namespace ufence
