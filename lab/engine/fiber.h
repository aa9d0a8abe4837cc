// A stack that runs one model thread and is switched to and from by hand.
#pragma once

#include <cstddef>

namespace ufence::lab {

/// One coroutine with its own stack. A fiber that is not finished may simply be started again: what
/// was on its stack is forgotten, no destructor runs. Threads: one. Not for nested use: a fiber is
/// resumed from the thread's own stack only.
class fiber {
 public:
  using entry = void (*)(void* argument);

  fiber() noexcept = default;
  fiber(const fiber&) = delete;
  fiber& operator=(const fiber&) = delete;

  /// Gives it the memory that its stack lies in; it grows down from the end.
  void set_stack(void* memory, std::size_t bytes) noexcept;
  /// The next resume() calls function(argument). It must not return: its last act is suspend().
  void start(entry function, void* argument) noexcept;
  /// Runs the fiber until it suspends.
  void resume() noexcept;
  /// From inside the fiber: back to the caller of resume().
  void suspend() noexcept;

  /// The stack pointer of a suspended fiber: what lies below is no live frame.
  [[nodiscard]] const void* stack_pointer() const noexcept { return own_; }

 private:
  char* stack_ = nullptr;
  std::size_t stack_bytes_ = 0;
  void* own_ = nullptr;
  void* caller_ = nullptr;
};

}  // namespace ufence::lab
