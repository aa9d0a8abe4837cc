// D-14: a thread_local with a destructor keeps the module mapped until the threads that used it
// end.
#include <vector>

#include "drivers/broken/broken.h"

namespace {

thread_local std::vector<int> jobs_of_this_thread;

int submit(void* state, ufence_job* job) {
  jobs_of_this_thread.push_back(1);
  return broken_submit(state, job);
}

constexpr ufence_device_ops ops = BROKEN_OPS(.submit = submit);

}  // namespace

BROKEN_DRIVER("thread_local", 0, &ops);
