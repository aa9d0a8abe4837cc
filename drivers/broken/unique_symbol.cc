// D-14: built without -fno-gnu-unique: std::make_shared alone pins a module for ever.
#include <memory>

#include "drivers/broken/broken.h"

namespace {

int submit(void* state, ufence_job* job) {
  const auto shared = std::make_shared<int>(1);
  return *shared == 1 ? broken_submit(state, job) : -1;
}

constexpr ufence_device_ops ops = BROKEN_OPS(.submit = submit);

}  // namespace

BROKEN_DRIVER("unique_symbol", 0, &ops);
