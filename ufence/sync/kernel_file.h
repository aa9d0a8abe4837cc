// Sync files of the kernel: what a GPU driver gives out.
#pragma once

#include <linux/sync_file.h>

#include <cstdint>

#include "ufence/base/result.h"

namespace ufence::detail {

/// SYNC_IOC_FILE_INFO.
/// @return  -EINVAL also for what is no sync file of the kernel; -EBADF
[[nodiscard]] std::error_code kernel_file_info(int file, ::sync_file_info& info) noexcept;
/// Its status, once it is readable; 0 before.
[[nodiscard]] int kernel_file_status(int file) noexcept;
/// SYNC_IOC_SET_DEADLINE; kernels before 6.6 have none.
void kernel_file_set_deadline(int file, std::int64_t deadline_ns) noexcept;

}  // namespace ufence::detail
