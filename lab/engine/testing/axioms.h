// The memory model once more, as the formulas of RC11 over a finished execution: what the explorer
// does step by step is compared with this. Written apart from graph.cc on purpose.
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

namespace ufence::lab {

struct plain_event {
  enum class kind { load, store, fence } what = kind::load;
  int thread = 0;  // -1: the first value of a location
  int location = -1;
  bool is_rmw = false;  // a load and the store that follows it
  std::memory_order order = std::memory_order_relaxed;
  std::size_t source = 0;  // load: the position of the store that it reads
  std::size_t rank = 0;    // store: position in modification order
};

/// Events in program order of each thread. Also false if a read-modify-write is torn apart.
[[nodiscard]] bool is_consistent(const std::vector<plain_event>& events);

}  // namespace ufence::lab
