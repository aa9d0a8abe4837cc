// A fence as a std::future.
#pragma once

#include <future>
#include <new>
#include <system_error>
#include <utility>

#include "ufence/fence/then.h"

namespace ufence {

/// A future that is ready when the fence is signaled, with 1, or with the error (<0) that it was signaled
/// with.
/// Throws: std::bad_alloc; std::system_error: -EINVAL for a null fence.
[[nodiscard]] inline std::future<int> to_future(const fence_ref& f) {
  std::promise<int> promise;
  std::future<int> future = promise.get_future();
  auto keep = [promise = std::move(promise)](int status) mutable { promise.set_value(status); };
  const result<fence_ref> after = then(f, std::move(keep));
  if (after) return future;
  if (after.error() == errno_code(ENOMEM)) throw std::bad_alloc();
  throw std::system_error(after.error());
}

}  // namespace ufence
