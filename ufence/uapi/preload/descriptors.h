// Which descriptors are emulated: by what the kernel says of them, never by their number.
#pragma once

#include "ufence/uapi/protocol.h"

namespace ufence::uapi {

/// The device that a descriptor is of, or none. Some other socket could only have the address of
/// one if somebody made it for that.
[[nodiscard]] device_kind device_of(int fd) noexcept;
/// Is it a sync file of this library's kind?
[[nodiscard]] bool is_sync_file(int fd) noexcept;
/// Might it be a dma-buf? The broker knows.
[[nodiscard]] bool may_be_dma_buf(int fd) noexcept;

}  // namespace ufence::uapi
