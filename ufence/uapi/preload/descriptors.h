// Which descriptors are emulated: by what the kernel says of them, never by their number.
#pragma once

#include <cstddef>
#include <string_view>

#include "ufence/uapi/protocol.h"

namespace ufence::uapi {

/// The device that a descriptor is of, or none. Some other socket could only have the address of
/// one if somebody made it for that.
[[nodiscard]] device_kind device_of(int fd) noexcept;
/// Is it a sync file of this library's kind?
[[nodiscard]] bool is_sync_file(int fd) noexcept;
/// Is it a dma-buf of this library's kind?
[[nodiscard]] bool is_dma_buf(int fd) noexcept;

/// The kind of object that a descriptor stands for.
enum class file_kind : char { other, sw_sync, drm_node, syncobj, sync_file, dma_buf };
[[nodiscard]] file_kind kind_of(int fd) noexcept;

/// The text of the link of this process's descriptor in /proc; empty: nothing, or more than there is
/// room for.
[[nodiscard]] std::string_view read_link_of(int fd, char* into, std::size_t room) noexcept;

}  // namespace ufence::uapi
