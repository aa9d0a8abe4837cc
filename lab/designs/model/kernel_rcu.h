// The promises of RCU, for the models of kernel designs: of a read section and a grace period, one is
// wholly before the other, or they meet and the grace period waits.
#pragma once

namespace ufence::lab::kernel_rcu {

void read_lock() noexcept;
void read_unlock() noexcept;
/// Waits for all read sections that have begun.
void synchronize() noexcept;

/// Names what it is made of in traces.
void name_all() noexcept;

class read_section {
 public:
  read_section() noexcept { read_lock(); }
  ~read_section() { read_unlock(); }
  read_section(const read_section&) = delete;
  read_section& operator=(const read_section&) = delete;
};

}  // namespace ufence::lab::kernel_rcu
