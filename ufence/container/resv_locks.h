// resv_locks: locks any number of reservation objects, in any order, without deadlocks.
#pragma once

#include <span>

#include "ufence/base/api.h"
#include "ufence/base/result.h"
#include "ufence/container/resv.h"
#include "ufence/container/ww_mutex.h"

namespace ufence {

/// Holds the locks of reservation objects; drops them when it is dropped.
///
/// If the objects are known:
///
///     resv_locks locks;
///     std::error_code failed = locks.lock_all(objects);
///
/// If they come to light while others are held:
///
///     std::error_code failed = locks.run([&] {
///       if (auto e = locks.lock(first)) return e;
///       return locks.lock(first_says_which());
///     });
///
/// When an older caller wants what this one holds, lock() fails with -EDEADLK and run() drops all,
/// waits for the object in question, and calls the body again: it must be prepared for that.
/// Threads: one at a time per object. Allocates: never.
/// Source: Linux drm_exec_*(), and the loop that ww_mutex users write
class UFENCE_API resv_locks {
 public:
  resv_locks() noexcept = default;
  ~resv_locks() { unlock_all(); }
  resv_locks(const resv_locks&) = delete;
  resv_locks& operator=(const resv_locks&) = delete;

  /// All of these are locked, and nothing else; one that comes twice is locked once.
  /// @return  -EINVAL a null one: nothing is locked
  /// Blocks: until it has them all.
  [[nodiscard]] std::error_code lock_all(std::span<resv* const> objects) noexcept;

  /// Drops what it holds, and calls the body until nothing that it locked has to be given back.
  /// @param body  returns what lock() returned if that is an error; its other errors end the run
  /// @return  what the body returned. What it locked stays locked, maybe with an object that only
  ///          an earlier call of the body asked for.
  template <class Body>
  [[nodiscard]] std::error_code run(Body body) {
    unlock_all();
    for (;;) {
      const std::error_code failed = body();
      if (contended_ == nullptr) return failed;
      back_off();
    }
  }
  /// Inside run(): locks one more, if it is not held already. Only this object unlocks it.
  /// @return  0; -EDEADLK: return it from the body
  [[nodiscard]] std::error_code lock(resv& object) noexcept;

  /// Drops all.
  void unlock_all() noexcept;
  [[nodiscard]] bool holds(const resv& object) const noexcept {
    return object.locking_context() == &context_;
  }

 private:
  void back_off() noexcept;

  ww_context context_;
  resv* held_ = nullptr;       // linked through resv::next_held_
  resv* contended_ = nullptr;  // lock() failed there
};

}  // namespace ufence
