// One call to the broker, by any thread, also in a signal handler: system calls alone, no memory
// but the caller's, no locks but call_descriptors.h's.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "ufence/uapi/preload/call_connection.h"
#include "ufence/uapi/protocol.h"

namespace ufence::uapi {

struct broker_call {
  operation what = operation::control;
  std::uint32_t code = 0;
  const void* argument = nullptr;
  std::size_t argument_size = 0;
  iovec data[2]{};               // memory of the program, which need not be there: EFAULT
  int subject = -1;              // the descriptor that it is about; -1: none
  bool is_about_device = false;  // which is an emulated device's
  int other = -1;
  bool close_on_exec = true;      // what comes back
  bool for_this_call = false;     // what comes back the library closes: with close_noted()
  bool is_interruptible = false;  // a signal handler ends it with EINTR
  // Where the reply goes: memory of the program as well.
  iovec reply_argument{};
  iovec reply_data{};
};

struct broker_reply {
  int error = 0;  // errno, or 0
  int fd = -1;
  std::int32_t descriptor_at = -1;
  std::size_t data_size = 0;
};

/// Blocks until the broker has answered: the one that made the device that the call is about; for
/// all else the one that is found by its name, which is started if there is none.
/// @return  error: what the broker says; EFAULT; ENODEV: no broker, or it is gone; EACCES: it is
///          another user's; EMFILE, ...
[[nodiscard]] broker_reply call_broker(const broker_call& call) noexcept;

/// Returns when the broker at the other end knows of all that was closed before.
void flush(call_connection& connection) noexcept;

}  // namespace ufence::uapi
