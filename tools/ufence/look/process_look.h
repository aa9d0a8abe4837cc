// Looks into a process: asks it by its debug socket, or reads its memory, what a core file has of it, or a dump.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "ufence/base/fd.h"
#include "ufence/debug/snapshot.h"

namespace ufence::tool {

struct look_request {
  std::string at;             // the number of a process, or the path of a core file or of a dump (JSON)
  bool all = false;           // also pending fences that nobody waits for
  bool from_outside = false;  // do not ask, also where there is a socket
};
/// @return  the snapshot, or why there is none, for people
[[nodiscard]] std::variant<debug::snapshot, std::string> look_into(const look_request& request);

/// Connects to its debug socket.
/// @return  the connection, or why there is none, for people
[[nodiscard]] std::variant<unique_fd, std::string> connect_to_process(std::int64_t process);

/// The processes of this user that have a debug socket where this program looks for one.
[[nodiscard]] std::vector<std::int64_t> processes_with_socket();

/// Reads what debug::to_json() wrote.
/// @return  the snapshot, or what is wrong with the text
[[nodiscard]] std::variant<debug::snapshot, std::string> parse_snapshot(const std::string& text);

}  // namespace ufence::tool
