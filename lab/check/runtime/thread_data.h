// The runtime's data for each thread of the explored program. In static storage, so that each
// execution begins with it as it was; nothing here depends on how often the explorer looked.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "lab/engine/graph.h"

namespace ufence::lab::check {

struct thread_data {
  struct call {
    const void* from = nullptr;
    std::uint64_t key = 0;
  };
  struct held_lock {
    const void* at = nullptr;
    unsigned count = 0;
    bool shared = false;
  };
  struct at_end {
    void (*run)(void*) = nullptr;
    void* argument = nullptr;
  };
  static constexpr std::size_t calls_max = 96;
  static constexpr std::size_t keys_max = 16;

  std::array<call, calls_max> calls{};  // those that returned are empty
  std::size_t depth = 0;
  std::array<held_lock, 16> held{};
  std::array<void*, keys_max> key_values{};
  std::array<at_end, 32> ends{};
  std::size_t end_count = 0;
  void* (*run)(void*) = nullptr;  // what pthread_create() was given
  int (*run_c11)(void*) = nullptr;
  void* argument = nullptr;
  void* result = nullptr;
  int error = 0;                     // errno
  void* caught = nullptr;            // the newest exception that it has caught and not ended
  unsigned uncaught = 0;             // exceptions that it has thrown and nobody has caught
  unsigned surprises = 0;            // waits that ended for no reason, or by their deadline
  const void* clock_from = nullptr;  // where it looked at the clock last
  unsigned clock_looks = 0;          // how often in a row it did so there
  bool is_detached = false;
  bool is_joined = false;
};

/// Of the thread that runs; of the main thread before there are others.
[[nodiscard]] thread_data& mine() noexcept;
[[nodiscard]] thread_data& data_of(unsigned thread) noexcept;

/// Ends what the thread that runs has to end: its keys and thread-local objects.
void end_thread();
/// The latter alone, as at the end of a program.
void destroy_thread_objects();

}  // namespace ufence::lab::check
