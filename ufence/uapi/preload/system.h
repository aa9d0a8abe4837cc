// System calls as the kernel has them: no cancellation points, not the functions that this library
// replaces. Each returns -1 and sets errno, as usual.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace ufence::uapi::system {

inline int close(int fd) noexcept { return static_cast<int>(::syscall(SYS_close, fd)); }
inline int fcntl(int fd, int command, long argument = 0) noexcept {
  return static_cast<int>(::syscall(SYS_fcntl, fd, command, argument));
}
inline int socket(int type) noexcept {
  return static_cast<int>(::syscall(SYS_socket, AF_UNIX, type, 0));
}
inline int connect(int fd, const void* address, socklen_t size) noexcept {
  return static_cast<int>(::syscall(SYS_connect, fd, address, size));
}
inline long send(int fd, const msghdr& message) noexcept {
  return ::syscall(SYS_sendmsg, fd, &message, MSG_NOSIGNAL);
}
inline long receive(int fd, msghdr& message, int flags) noexcept {
  return ::syscall(SYS_recvmsg, fd, &message, flags);
}

/// Copies from memory of the program, which need not be there.
/// @return  false: EFAULT. Where the kernel does not let a process ask for its own memory, a bad
/// address ends the program instead.
inline bool copy_in(void* to, const void* from, std::size_t size) noexcept {
  iovec ours{.iov_base = to, .iov_len = size};
  iovec theirs{.iov_base = const_cast<void*>(from), .iov_len = size};
  const long n = ::syscall(SYS_process_vm_readv, ::getpid(), &ours, 1UL, &theirs, 1UL, 0UL);
  if (n < 0 && (errno == EPERM || errno == ENOSYS)) {
    std::memcpy(to, from, size);
    return true;
  }
  return n == static_cast<long>(size);
}
/// The same the other way.
inline bool copy_out(void* to, const void* from, std::size_t size) noexcept {
  iovec ours{.iov_base = const_cast<void*>(from), .iov_len = size};
  iovec theirs{.iov_base = to, .iov_len = size};
  const long n = ::syscall(SYS_process_vm_writev, ::getpid(), &ours, 1UL, &theirs, 1UL, 0UL);
  if (n < 0 && (errno == EPERM || errno == ENOSYS)) {
    std::memcpy(to, from, size);
    return true;
  }
  return n == static_cast<long>(size);
}

}  // namespace ufence::uapi::system
