// A call into a module that is waited for no longer than a limit: a thread of its own makes it, and stays
// with it if it does not return.
#pragma once

#include <cstdint>

#include "ufence/base/atomic.h"
#include "ufence/base/system_thread.h"

namespace ufence::detail {

/// Threads: one at a time, besides the one that it starts. One call is under way at most.
class bounded_call {
 public:
  using function = void (*)(void* argument);

  bounded_call() noexcept = default;
  /// Not while a call is under way.
  ~bounded_call();
  bounded_call(const bounded_call&) = delete;
  bounded_call& operator=(const bounded_call&) = delete;

  /// Calls fn(argument) on another thread, or on this one if there can't be another or nobody sets a
  /// limit. With a call under way it waits for that one instead: the same call, asked for again.
  /// @param deadline_ns  absolute; no_deadline never ends
  /// @return  true it has returned; false not by then
  [[nodiscard]] bool call(function fn, void* argument, std::int64_t deadline_ns) noexcept;
  [[nodiscard]] bool is_under_way() const noexcept { return is_under_way_; }
  /// For how long it has been under way.
  [[nodiscard]] std::int64_t age_ns() const noexcept;

 private:
  static void* run(void* self);
  [[nodiscard]] bool wait(std::int64_t deadline_ns) noexcept;

  system_thread thread_;
  bool is_under_way_ = false;
  std::int64_t begun_ns_ = 0;
  function fn_ = nullptr;
  void* argument_ = nullptr;
  atomic<std::uint32_t> has_returned_{0};
};

/// Does some thread hold the dynamic linker's lock, and keep it? A thread that ends, or loads a library,
/// waits for it then. Takes a moment.
[[nodiscard]] bool is_linker_locked() noexcept;

}  // namespace ufence::detail
