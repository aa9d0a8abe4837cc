// The system call membarrier(): a full barrier of all threads of the process. As in the lab's
// double of ufence/base/process_barrier.h, the other threads have points where they learn of it:
// their signal fences, once the program has registered.
#include <linux/membarrier.h>

#include <cerrno>
#include <string>

#include "lab/check/runtime/locks.h"
#include "lab/check/runtime/runtime.h"
#include "ufence/base/process_barrier.h"

namespace ufence::lab::check {
namespace {

constinit bool is_registered = false;  // put back whenever an execution begins

}  // namespace

long membarrier(int command, std::source_location where) {
  switch (command) {
    case MEMBARRIER_CMD_QUERY:
      return MEMBARRIER_CMD_PRIVATE_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED;
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED: is_registered = true; return 0;
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
      if (!is_registered) return -EPERM;
      hooks::clear_dead_stack();
      process_barrier(std::memory_order_acq_rel, where);
      return 0;
    default:
      fail_at(
          failure::not_explorable,
          "makes membarrier command " + std::to_string(command) + ", which the lab does not know",
          where);
  }
}

void signal_fence(std::source_location where) {
  if (!is_registered) return;
  hooks::clear_dead_stack();
  barrier_point(std::memory_order_acq_rel, where);
}

}  // namespace ufence::lab::check
