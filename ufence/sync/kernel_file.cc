#include "ufence/sync/kernel_file.h"

#include <poll.h>
#include <sys/ioctl.h>

#include <cerrno>

namespace ufence::detail {
namespace {

// Newer than the headers of some systems.
struct set_deadline_data {
  std::uint64_t deadline_ns;
  std::uint64_t pad;
};
constexpr unsigned long set_deadline_ioctl = _IOW(SYNC_IOC_MAGIC, 5, set_deadline_data);

}  // namespace

std::error_code kernel_file_info(int file, ::sync_file_info& info) noexcept {
  if (::ioctl(file, SYNC_IOC_FILE_INFO, &info) == 0) return {};
  return errno_code(errno == ENOTTY || errno == EOPNOTSUPP ? EINVAL : errno);
}

int kernel_file_status(int file) noexcept {
  pollfd readable{.fd = file, .events = POLLIN, .revents = 0};
  if (::poll(&readable, 1, 0) != 1 || (readable.revents & POLLIN) == 0) return 0;
  ::sync_file_info info{};
  if (const std::error_code failed = kernel_file_info(file, info)) return -failed.value();
  return info.status;
}

void kernel_file_set_deadline(int file, std::int64_t deadline_ns) noexcept {
  set_deadline_data data{.deadline_ns = static_cast<std::uint64_t>(deadline_ns), .pad = 0};
  static_cast<void>(::ioctl(file, set_deadline_ioctl, &data));
}

}  // namespace ufence::detail
