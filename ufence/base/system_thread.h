// A thread of the operating system that takes no signals. A model checker's double stands earlier
// on the include path.
#pragma once

#include <pthread.h>

#include <cstdint>

namespace ufence {

/// Threads: one at a time per object.
class system_thread {
 public:
  /// Runs `function(argument)` on a new thread. The program's signal handlers do not run there.
  /// @return  0 or an errno: EAGAIN, ENOMEM
  [[nodiscard]] int start(void* (*function)(void*), void* argument) noexcept;
  /// The name that people see of the calling thread; at most 15 bytes.
  static void name_this(const char* name) noexcept;
  /// Lets other threads run that are ready to, on the processor of the calling one.
  static void yield() noexcept;

  // --- Of a thread that was started; after true, or detach(), no more ---

  /// True: it has ended, its thread_local objects are gone.
  [[nodiscard]] bool try_join() noexcept;
  /// Waits for that; false: not by then. An end that is due takes a moment: at least that is waited
  /// for.
  [[nodiscard]] bool join(std::int64_t deadline_ns) noexcept;
  /// Nobody will ask for it.
  void detach() const noexcept;

 private:
  pthread_t id_{};
};

}  // namespace ufence
