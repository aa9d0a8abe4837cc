// Double of liburcu-bp for the lab: exactly what RCU promises. Each thread has a word that is 1
// inside of its outermost read section; a grace period passes through each of them when it is 0. Of
// a read section and a grace period one is therefore wholly before the other, or they meet and the
// latter waits.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <source_location>

#include "lab/engine/graph.h"
#include "lab/engine/scenario.h"
#include "ufence/base/tls.h"

namespace ufence::lab::urcu {

inline constinit std::array<std::uint32_t, max_threads> sections{};

struct nesting_tag;
using nesting = per_thread<nesting_tag, int>;

}  // namespace ufence::lab::urcu

inline void _urcu_bp_read_lock(std::source_location where = std::source_location::current()) {
  namespace lab = ufence::lab;
  if (lab::urcu::nesting::get()++ != 0 || !lab::hooks::in_model()) return;
  lab::hooks::modify(&lab::urcu::sections[lab::this_thread()], 4, lab::modification::exchange, 1,
                     std::memory_order_acquire, where);
}

inline void _urcu_bp_read_unlock(std::source_location where = std::source_location::current()) {
  namespace lab = ufence::lab;
  if (--lab::urcu::nesting::get() != 0 || !lab::hooks::in_model()) return;
  lab::hooks::store(&lab::urcu::sections[lab::this_thread()], 4, 0, std::memory_order_release,
                    where);
}
