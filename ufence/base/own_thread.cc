#include "ufence/base/own_thread.h"

#include "ufence/base/system_thread.h"

namespace ufence::detail {

int start_own_thread(void* (*run)(void*), void* argument) noexcept {
  system_thread thread;
  const int failed = thread.start(run, argument);
  if (failed == 0) thread.detach();
  return failed;
}

}  // namespace ufence::detail
