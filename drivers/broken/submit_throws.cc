// D-4: an exception leaves submit().
#include <stdexcept>

#include "drivers/broken/broken.h"

namespace {

int submit(void*, ufence_job*) { throw std::runtime_error("submit_throws: no such job"); }

constexpr ufence_device_ops ops = BROKEN_OPS(.submit = submit);

}  // namespace

BROKEN_DRIVER("submit_throws", 0, &ops);
