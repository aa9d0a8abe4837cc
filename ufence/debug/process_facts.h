// The facts that /proc and file names tell of processes and libraries: for the look from inside a process, and for the
// one from outside.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>

#include "ufence/debug/snapshot.h"

namespace ufence::debug {

/// The letter of /proc/PID/stat behind the name, which may have any character in it; 0: no such process.
inline char state_of_process(std::int64_t id, std::string& name) {
  std::ifstream file("/proc/" + std::to_string(id) + "/stat");
  std::string text;
  if (!std::getline(file, text)) return 0;
  const std::size_t open = text.find('(');
  const std::size_t close = text.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close + 2 >= text.size()) return 0;
  name = text.substr(open + 1, close - open - 1);
  return text[close + 2];
}

/// The process that a thread belongs to; 0: unknown.
inline int process_of_thread(int id) {
  std::ifstream file("/proc/" + std::to_string(id) + "/status");
  for (std::string word; file >> word;) {
    if (word == "Tgid:" && file >> id) return id;
  }
  return 0;
}

/// The sentence about the state of a process that has to signal something, by its letter.
inline void tell_of_process(node& process, char letter, bool is_gone) {
  if (is_gone || letter == 'Z' || letter == 'X') {
    process.state = "gone";
    process.why = cause::exporter_gone;
  } else if (letter == 'T' || letter == 't') {
    process.state = letter == 'T' ? "stopped" : "stopped by a debugger";
    process.why = cause::exporter_stopped;
  } else {
    process.state = letter == 0 ? "not to be seen from here" : "running";
    process.why = cause::exporter_runs;
  }
}

/// Also the runtimes of sanitizers, which stand between a program and the functions that they watch.
inline bool is_system_library(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  return std::ranges::any_of(
      std::array<std::string_view, 10>{"libc.so", "libc-", "libstdc++.so", "ld-linux", "libpthread",
                                       "linux-vdso", "libasan.so", "libtsan.so", "libubsan.so",
                                       "libclang_rt."},
      [name](std::string_view begin) { return name.starts_with(begin); });
}

}  // namespace ufence::debug
