// The paths that emulated devices are at.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "ufence/uapi/protocol.h"

namespace ufence::uapi {

struct emulated_path {
  const char* path;
  device_kind kind;  // none: a folder, or a file with a text
  mode_t mode;
  dev_t device;      // of a device node
  const char* text;  // of a file that is no device

  [[nodiscard]] bool is_folder() const noexcept { return S_ISDIR(mode); }
};

/// The contents of the file; they depend on the driver.
[[nodiscard]] const char* text_of(const emulated_path& file) noexcept;

/// The emulated folder that a descriptor is of (open_folder()), or nullptr.
[[nodiscard]] const emulated_path* find_folder(int fd) noexcept;
/// A descriptor for a folder that is not really there: a memory file that is named after it, since
/// every process has to know it. @return  -1, errno
[[nodiscard]] int open_folder(const emulated_path& folder, bool close_on_exec) noexcept;

/// The object that a path names.
struct resolved_path {
  const emulated_path* emulated;  // nullptr: nothing that is emulated
  /// The path that the system is to be asked for: the one given; or, where that leads through an emulated file as
  /// if it were a folder, one that leads through a device in the same way.
  const char* path;

  [[nodiscard]] bool is_file() const noexcept {
    return emulated != nullptr && !emulated->is_folder();
  }
};

/// The object at a path, relative to a folder's descriptor. A name of one of this process's
/// descriptors in /proc or /dev/fd is the device that the descriptor is of.
[[nodiscard]] resolved_path resolve_at(int folder, const char* path) noexcept;
[[nodiscard]] inline resolved_path resolve(const char* path) noexcept {
  return resolve_at(AT_FDCWD, path);
}

/// A device that is really there, which the system says of what it would say of an emulated one.
inline constexpr char some_device[] = "/dev/null";
/// The node that a descriptor's kind is opened through, or nullptr.
[[nodiscard]] const emulated_path* path_of(device_kind kind) noexcept;
/// The text of an emulated symbolic link, or one to an emulated descriptor in /proc, or nullptr;
/// relative to a folder's descriptor.
[[nodiscard]] const char* find_link_at(int folder, const char* path) noexcept;

/// Does a path name a descriptor of this process, in /proc or /dev/fd, of a dma-buf? It can't be
/// opened anew.
[[nodiscard]] bool names_dma_buf(int folder, const char* path) noexcept;

/// The n-th path in a folder, and its name there; nullptr: there are no more.
struct folder_entry {
  const emulated_path* path;
  const char* name;
};
[[nodiscard]] folder_entry entry_of(const emulated_path& folder, unsigned n) noexcept;

}  // namespace ufence::uapi
