// Memory files, also where the system refuses or changes those that might be executed
// (vm.memfd_noexec).
#pragma once

#include <linux/memfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace ufence {

/// Not in the headers of all systems: the file can't be made executable.
inline constexpr unsigned memory_file_noexec = 0x0008;  // MFD_NOEXEC_SEAL
inline constexpr int memory_file_noexec_seal = 0x0020;  // F_SEAL_EXEC, which it has then

/// memfd_create(), with seals allowed; never executable where the system knows the difference
/// (Linux 6.3). @return  the descriptor, or -1 and errno
inline int open_memory_file(const char* name, bool close_on_exec = true) noexcept {
  const unsigned flags = MFD_ALLOW_SEALING | (close_on_exec ? MFD_CLOEXEC : 0U);
  const long fd = ::syscall(SYS_memfd_create, name, flags | memory_file_noexec);
  if (fd >= 0 || errno != EINVAL) return static_cast<int>(fd);
  return static_cast<int>(::syscall(SYS_memfd_create, name, flags));
}

}  // namespace ufence
