// Per-thread data. A model checker's double keeps one value for each of its model threads.
#pragma once

namespace ufence {

/// One T for each thread, named by Tag; T is constant-initialized and trivially destructible, so it
/// may be used at any time in a thread's life.
template <class Tag, class T>
class per_thread {
 public:
  [[nodiscard]] static T& get() noexcept { return value_; }

 private:
  static inline constinit thread_local T value_{};
};

}  // namespace ufence
