// The work that comes after a fence, as a function: then(f, [](int status) { ... }).
#pragma once

#include <cerrno>
#include <memory>
#include <new>
#include <system_error>
#include <type_traits>
#include <utility>

#include "ufence/fence/fence.h"

namespace ufence {
namespace detail {

// Calls the function and makes an error of what comes out of it: 0, or a negative errno.
template <class Function>
[[nodiscard]] int error_of_call(Function& function, int status) noexcept {
  try {
    if constexpr (std::is_void_v<std::invoke_result_t<Function&, int>>) {
      function(status);
      return 0;
    } else {
      return function(status);
    }
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  } catch (...) {
    return -EIO;
  }
}

// Waits for a fence, and frees itself once it has run.
template <class Function>
class continuation : private callback {
 public:
  continuation(Function function, signaler done) noexcept(
      std::is_nothrow_move_constructible_v<Function>)
      : callback(&continuation::run), function_(std::move(function)), done_(std::move(done)) {}

  static void begin(std::unique_ptr<continuation> c, fence& f) noexcept {
    const std::error_code refused = f.add_callback(*c);
    continuation* const node = c.release();
    if (refused) node->finish(refused == errno_code(ENOENT) ? f.status() : -refused.value());
  }

 private:
  static void run(callback& node, fence& f) noexcept {
    static_cast<continuation&>(node).finish(f.status());
  }
  void finish(int status) noexcept {
    const std::unique_ptr<continuation> self(this);
    // The objects that the function has captured go before anybody hears of its end.
    signaler done = std::move(done_);
    int error = 0;
    {
      Function function = std::move(function_);
      error = error_of_call(function, status);
    }
    done.signal(error);
  }

  Function function_;
  signaler done_;
};

}  // namespace detail

/// Calls function(status) once the fence is signaled: 1 signaled, <0 signaled with that error (or
/// -EOWNERDEAD: pending, and inherited through fork()). In the settling thread as a callback (F10); at
/// once, on this thread, if it is signaled already. Nobody has to keep anything for that.
/// @param function  takes an int, returns nothing, or an error: 0 or a negative errno
/// @return  a fence with a context of its own: signaled with that error when the function has returned;
///          with -ENOMEM or -EIO if it throws. -EINVAL a null fence; -ENOMEM: it is not called
/// Threads: any. Blocks: never by itself. Allocates.
template <class Function>
[[nodiscard]] result<fence_ref> then(const fence_ref& f, Function&& function) {
  using kept = detail::continuation<std::decay_t<Function>>;
  if (!f) return failure(EINVAL);
  result<new_fence> made = fence::create(fence::allocate_contexts(1), 1);
  if (!made) return failure(ENOMEM);
  fence_ref after = std::move(made->fence);
  std::unique_ptr<kept> c(
      new (std::nothrow) kept(std::forward<Function>(function), std::move(made->signal)));
  if (!c) {
    made->signal.signal(-ENOMEM);
    return failure(ENOMEM);
  }
  kept::begin(std::move(c), *f);
  return after;
}

}  // namespace ufence
