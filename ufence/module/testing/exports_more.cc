// A driver without a version script: it exports what is compiled into it, to whom it may concern.
#include <string>

#include "ufence/driver.h"

__attribute__((visibility("default"))) std::string exported_name();
std::string exported_name() { return std::string(100, 'x'); }

namespace {

int submit(void*, ufence_job*) { return 0; }
int init(const ufence_host*, ufence_device*, void** state) {
  *state = nullptr;
  return 0;
}
void quiet(void*) {}

constexpr ufence_device_ops make_ops() {
  ufence_device_ops ops{};
  ops.size = sizeof ops;
  ops.submit = submit;
  return ops;
}
constexpr ufence_device_ops ops = make_ops();

}  // namespace

UFENCE_DRIVER = {
    .size = sizeof(ufence_driver),
    .abi_version = UFENCE_ABI_VERSION,
    .features = 0,
    .name = "exports_more",
    .timeline = nullptr,
    .description = nullptr,
    .ops = &ops,
    .init = init,
    .stop = quiet,
    .exit = quiet,
};
