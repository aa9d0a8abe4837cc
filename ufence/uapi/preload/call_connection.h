// The connection of one call: the one that the calling thread keeps between its calls, or one for
// this call alone.
//
// A kept connection has a high number, out of the way of the program's, and is not trusted to be
// there: before each use the kernel is asked whether the number is still this very socket
// (SO_COOKIE), since a program may close what it has not opened (close_range(3, ~0U)), and open
// something else. Not used are those of another process (a child that was made without fork
// handlers, vfork()), of another user than the thread is now, and of a thread that is in a call
// already, which a signal handler interrupted.
#pragma once

#include <sys/types.h>

namespace ufence::uapi {

class call_connection {
 public:
  struct purpose {
    int device = -1;                // the device that the call is about; -1: of none
    bool starts = true;             // a broker, if there is none
    bool is_interruptible = false;  // a signal handler ends the wait for a broker that is stopped
  };
  /// See connect_to_broker() and connect_over_device() for what can fail.
  explicit call_connection(const purpose& what) noexcept;
  /// Closes it, unless keep() was called.
  ~call_connection();
  call_connection(const call_connection&) = delete;
  call_connection& operator=(const call_connection&) = delete;

  /// -1: there is none, and error() says why.
  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] int error() const noexcept { return error_; }
  /// No call is under way there, and the broker keeps its end.
  void keep() noexcept { keeps_ = true; }
  /// Is it one that an earlier call left?
  [[nodiscard]] bool was_kept() const noexcept { return is_old_; }

 private:
  void put_away() noexcept;

  int fd_ = -1;
  int error_ = 0;
  bool has_turn_ = false;  // the thread's place is this call's to use
  bool is_old_ = false;
  bool is_high_ = false;
  bool keeps_ = false;
  bool is_by_name_ = false;
  pid_t broker_ = 0;
};

/// Does a thread keep its connection under this number? Programs that count their descriptors know
/// nothing of it.
[[nodiscard]] bool is_kept_connection(int fd) noexcept;

}  // namespace ufence::uapi
