// A driver that does nothing, for test modules that are about something else: they give it what differs.
#pragma once

#include "ufence/driver.h"

namespace plain_driver {

// Of this module, since init().
[[maybe_unused]] static const ufence_host* host;
[[maybe_unused]] static ufence_device* device;

[[maybe_unused]] static int init(const ufence_host* h, ufence_device* d, void** state) {
  host = h;
  device = d;
  *state = nullptr;
  return 0;
}
[[maybe_unused]] static int accept(void*, ufence_job*) { return 0; }
[[maybe_unused]] static void quiet(void*) {}

constexpr ufence_device_ops ops_with(int (*submit)(void*, ufence_job*)) {
  ufence_device_ops ops{};
  ops.size = sizeof ops;
  ops.submit = submit;
  return ops;
}

}  // namespace plain_driver

/// At global scope, in one source of the module.
#define PLAIN_DRIVER(driver_name, submit_function, stop_function, exit_function) \
  PLAIN_DRIVER_WITH(driver_name, plain_driver::init, submit_function, stop_function, exit_function)

/// The same with an init() of its own.
#define PLAIN_DRIVER_WITH(driver_name, init_function, submit_function, stop_function, exit_function) \
  static constexpr ufence_device_ops plain_driver_ops = plain_driver::ops_with(submit_function); \
  UFENCE_DRIVER = {.size = sizeof(ufence_driver),                                               \
                   .abi_version = UFENCE_ABI_VERSION,                                           \
                   .features = 0,                                                               \
                   .name = driver_name,                                                         \
                   .timeline = nullptr,                                                         \
                   .description = nullptr,                                                      \
                   .ops = &plain_driver_ops,                                                    \
                   .init = init_function,                                                       \
                   .stop = stop_function,                                                       \
                   .exit = exit_function}
