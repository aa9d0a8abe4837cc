// The paths that emulated devices are at.
#pragma once

#include <sys/types.h>

#include "ufence/uapi/protocol.h"

namespace ufence::uapi {

struct emulated_path {
  const char* path;
  device_kind kind;  // none: a folder
  mode_t mode;
  dev_t device;  // of a device node
};

/// What is emulated at a path, or nullptr. Only absolute paths, as they are.
[[nodiscard]] const emulated_path* find_path(const char* path) noexcept;
/// The node that a descriptor's kind is opened through, or nullptr.
[[nodiscard]] const emulated_path* path_of(device_kind kind) noexcept;

}  // namespace ufence::uapi
