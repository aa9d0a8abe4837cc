// Descriptors that this library has open for the time of a call, and no program knows of: a child of
// fork() by another thread closes its copies. A connection that a child kept would hide from the broker
// that the caller is gone.
//
// A descriptor is opened and noted inside of an `opening`, and fork() waits until no thread is in one, so
// a child finds each of them noted. Nothing blocks inside of an opening, and signals are held off, so
// that a signal handler may make a call as well.
#pragma once

#include <csignal>

namespace ufence::uapi {

class opening {
 public:
  opening() noexcept;
  ~opening();
  opening(const opening&) = delete;
  opening& operator=(const opening&) = delete;

  /// The descriptor was opened here.
  void note(int fd) noexcept;
  /// It is about to be closed here.
  void forget(int fd) noexcept;

 private:
  sigset_t before_;
};

/// A socket that is noted, or -1 with errno.
[[nodiscard]] int open_noted_socket(int type) noexcept;
/// Two connected ends of the broker's kind of socket, both noted. @return  false, errno
[[nodiscard]] bool open_noted_pair(int (&ends)[2]) noexcept;
/// Closes a descriptor that was noted.
void close_noted(int fd) noexcept;

}  // namespace ufence::uapi
