// A program that a command runs in its place: signals and the exit status are the program's.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "ufence/base/result.h"

namespace ufence::tool {

/// A child of fork(), in which this returns 0. In the parent the terminal's signals are left to the
/// child from here on, and SIGTERM and SIGHUP are passed on to it.
/// @return  its number; what fork() said
[[nodiscard]] result<pid_t> fork_in_place();

/// The same, in which a program is executed. What goes wrong there is told on stderr, and the child
/// ends with 127, it was not found, or 126, it can't be executed.
/// @param prepare  is called in the child before
[[nodiscard]] result<pid_t> start_program(const std::vector<std::string>& program,
                                          const std::function<void()>& prepare);

/// Waits for its end: the exit status, or 128 and the number of the signal, as shells say it.
[[nodiscard]] int status_of(pid_t program);

/// From here on processes that descend from this one are its children once their parents have
/// ended.
void adopt_orphans();

/// Waits until this process has no children left.
/// @param program  one of them. When it ends signals are this process's again, as they are by default
/// @param on_end   gets its status then, as status_of() says it
void wait_for_all(pid_t program, const std::function<void(int)>& on_end);

}  // namespace ufence::tool
