#include "ufence/container/resv_locks.h"

#include <algorithm>
#include <utility>

namespace ufence {

std::error_code resv_locks::lock(resv& object) noexcept {
  if (holds(object)) return {};
  if (const std::error_code failed = object.lock(&context_)) {
    contended_ = &object;
    return failed;
  }
  object.next_held_ = std::exchange(held_, &object);
  return {};
}

void resv_locks::back_off() noexcept {
  unlock_all();
  resv& object = *std::exchange(contended_, nullptr);
  object.lock_slow(context_);
  object.next_held_ = std::exchange(held_, &object);
}

std::error_code resv_locks::lock_all(std::span<resv* const> objects) noexcept {
  unlock_all();
  if (std::ranges::find(objects, nullptr) != objects.end()) return errno_code(EINVAL);
  return run([&]() noexcept {
    for (resv* object : objects) {
      if (const std::error_code failed = lock(*object)) return failed;
    }
    return std::error_code();
  });
}

void resv_locks::unlock_all() noexcept {
  while (resv* object = held_) {
    held_ = std::exchange(object->next_held_, nullptr);
    object->unlock();
  }
}

}  // namespace ufence
