// The debug socket's place in the file system. Inside the layer only.
#pragma once

#include <string>

#include "ufence/base/fd.h"
#include "ufence/base/result.h"

namespace ufence::debug {

struct listening_socket {
  unique_fd socket;
  std::string path;
};

/// Makes the folder, which this user alone may enter, and in it the socket of this process.
/// @return  the errnos of debug_listen()
[[nodiscard]] result<listening_socket> listen_in_folder();

/// Is the process at the other end of a connection of the user that this process works for, or root?
[[nodiscard]] bool is_of_same_user(int connection) noexcept;

}  // namespace ufence::debug
