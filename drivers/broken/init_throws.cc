// D-4: an exception leaves init().
#include <stdexcept>

#include "drivers/broken/broken.h"

namespace {

constexpr ufence_device_ops ops = BROKEN_OPS(.submit = broken_submit);

int init(const ufence_host*, ufence_device*, void**) {
  throw std::runtime_error("init_throws: no such device");
}

}  // namespace

UFENCE_DRIVER = BROKEN_TABLE("init_throws", 0, &ops, init, broken_stop, broken_exit);
