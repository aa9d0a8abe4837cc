// The stamp by which a changed file is known: its identity, its size, and its times.
#pragma once

#include <sys/stat.h>

#include <cstdint>

namespace ufence::detail {

/// Which file it is, whatever its name.
struct file_id {
  dev_t device = 0;
  ino_t inode = 0;
  friend bool operator==(const file_id&, const file_id&) noexcept = default;
};

/// A file as stat() saw it once.
struct file_stamp {
  file_id id;
  std::int64_t size = -1;  // -1: it could not be looked at
  std::int64_t modified_ns = 0, changed_ns = 0;
  std::uint64_t links = 0;
  std::uint32_t mode = 0, user = 0, group = 0;

  [[nodiscard]] bool is_known() const noexcept { return size >= 0; }
  friend bool operator==(const file_stamp&, const file_stamp&) noexcept = default;
  /// The same file, and nobody has written to it. Writing with the old times restored, as some copying
  /// programs do, leaves a newer time of change; so do a new name, owner or mode, which show by
  /// themselves.
  [[nodiscard]] bool is_same_content(const file_stamp& before) const noexcept {
    if (id != before.id || size != before.size || modified_ns != before.modified_ns) return false;
    return changed_ns == before.changed_ns || links != before.links || mode != before.mode ||
           user != before.user || group != before.group;
  }
};

[[nodiscard]] inline file_stamp stamp_of(const struct stat& file) noexcept {
  constexpr std::int64_t second = 1'000'000'000;
  return {.id = {.device = file.st_dev, .inode = file.st_ino},
          .size = file.st_size,
          .modified_ns = file.st_mtim.tv_sec * second + file.st_mtim.tv_nsec,
          .changed_ns = file.st_ctim.tv_sec * second + file.st_ctim.tv_nsec,
          .links = file.st_nlink,
          .mode = file.st_mode,
          .user = file.st_uid,
          .group = file.st_gid};
}
[[nodiscard]] inline file_stamp stamp_of(const char* path) noexcept {
  struct stat file {};
  return ::stat(path, &file) == 0 ? stamp_of(file) : file_stamp{};
}
[[nodiscard]] inline file_stamp stamp_of(int fd) noexcept {
  struct stat file {};
  return ::fstat(fd, &file) == 0 ? stamp_of(file) : file_stamp{};
}

}  // namespace ufence::detail
