// Double of ufence/base/process_barrier.h for the lab: exactly what the barrier promises. Each thread has a
// word that its points change and that every barrier changes, by read-modify-writes: of a point and a
// barrier one comes first, and the other one reads from it. A thread's real barrier is where the kernel
// interrupts it, between two of its points; here the thread learns of it at the later one, and shows what
// it did before the earlier one, so that no execution is left out. Points of two threads have no word in
// common and order nothing.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <source_location>

#include "lab/engine/graph.h"
#include "lab/engine/hooks.h"
#include "lab/engine/scenario.h"

namespace ufence {

namespace lab::barriers {
inline constinit std::array<std::uint32_t, max_threads> points{};
inline constinit std::uint32_t turn = 0;  // of two barriers one is wholly before the other
}  // namespace lab::barriers

inline void barrier_point(std::memory_order order,
                          std::source_location where = std::source_location::current()) noexcept {
  if (!lab::hooks::in_model()) return;
  lab::hooks::modify(&lab::barriers::points[lab::this_thread()], 4, lab::modification::add, 1, order,
                     where);
}

inline void process_barrier(std::memory_order order, std::source_location where =
                                                         std::source_location::current()) noexcept {
  if (!lab::hooks::in_model()) return;
  lab::hooks::lock(&lab::barriers::turn, where);
  for (unsigned t = 0; t < lab::max_threads; ++t) {
    if (t == lab::this_thread()) continue;
    lab::hooks::modify(&lab::barriers::points[t], 4, lab::modification::add, 1, order, where);
  }
  lab::hooks::unlock(&lab::barriers::turn, where);
}

}  // namespace ufence
