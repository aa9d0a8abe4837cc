// Parts of a search in processes of their own.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

namespace ufence::lab {

/// fork(), for a process that ends when this one does. Text that stdio holds is written before.
[[nodiscard]] pid_t fork_worker();

/// Runs `work(k)` for each k below `shares`, in forked processes, `jobs` at a time, and gives what
/// each returned to `told`. If that says false, no more are begun and those that run are ended. A
/// process that a signal ends takes this one along.
/// @return  false: not all were begun, or told
bool in_processes(unsigned shares, unsigned jobs, const std::function<std::string(unsigned)>& work,
                  const std::function<bool(const std::string&)>& told);

}  // namespace ufence::lab
