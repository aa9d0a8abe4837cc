// Asks a process what is in it, by its debug socket.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "ufence/debug/snapshot.h"

namespace ufence::tool {

/// Asks the process with this number.
/// @param all  also for pending fences that nobody waits for
/// @return  the snapshot, or why there is none, for people
[[nodiscard]] std::variant<debug::snapshot, std::string> look_into(std::int64_t process, bool all);

/// The processes of this user that have a debug socket where this program looks for one.
[[nodiscard]] std::vector<std::int64_t> processes_with_socket();

/// Reads what debug::to_json() wrote.
/// @return  the snapshot, or what is wrong with the text
[[nodiscard]] std::variant<debug::snapshot, std::string> parse_snapshot(const std::string& text);

}  // namespace ufence::tool
