// Double of the rest of liburcu-bp for the lab; read sections are in urcu/static/urcu-bp.h.
#pragma once

#include <atomic>
#include <source_location>

#include "lab/models/doubles/urcu/static/urcu-bp.h"

inline void urcu_bp_read_lock() { _urcu_bp_read_lock(); }
inline void urcu_bp_read_unlock() { _urcu_bp_read_unlock(); }

inline int urcu_bp_read_ongoing() { return ufence::lab::urcu::nesting::get() != 0 ? 1 : 0; }

inline void urcu_bp_synchronize_rcu(std::source_location where = std::source_location::current()) {
  namespace lab = ufence::lab;
  if (!lab::hooks::in_model()) return;
  // Also those that have not begun: what they read afterwards is of after the grace period.
  for (unsigned t = 0; t < lab::max_threads; ++t) {
    lab::hooks::await_exchange(&lab::urcu::sections[t], 4, 0, 0, std::memory_order_acq_rel, where);
  }
}

// A scenario does not fork.
inline void urcu_bp_before_fork() {}
inline void urcu_bp_after_fork_parent() {}
inline void urcu_bp_after_fork_child() {}
