// D-13: starts a thread that the host does not know of, as C++ does it.
#include <thread>

#include "drivers/broken/broken.h"

namespace {

int submit(void* state, ufence_job* job) {
  std::thread([] {}).detach();
  return broken_submit(state, job);
}

constexpr ufence_device_ops ops = BROKEN_OPS(.submit = submit);

}  // namespace

BROKEN_DRIVER("imports_std_thread", 0, &ops);
