// The facts that /proc and file names tell of processes and libraries: for the look from inside a process, and for the
// one from outside.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

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

/// Where the stack of a thread has come to.
struct thread_stack {
  std::int64_t id;
  std::uint64_t at;
};
/// Of the threads of a process that sleep in a system call, which tells it.
/// @param folder  "/proc/self", "/proc/4711"
inline std::vector<thread_stack> stacks_of_process(const std::string& folder) {
  std::vector<thread_stack> found;
  std::error_code none;
  std::filesystem::directory_iterator task(folder + "/task", none);
  for (; !none && task != std::filesystem::directory_iterator(); task.increment(none)) {
    std::ifstream file(task->path() / "syscall");
    std::string line;
    std::getline(file, line);  // ... 0xSTACK 0xCODE
    const std::size_t code = line.rfind(" 0x");
    const std::size_t stack = code == std::string::npos || code == 0 ? code : line.rfind(" 0x", code - 1);
    if (stack == std::string::npos) continue;
    found.push_back({.id = std::strtol(task->path().filename().c_str(), nullptr, 10),
                     .at = std::strtoull(line.c_str() + stack, nullptr, 16)});
  }
  return found;
}

/// The memory that an address lies in, from beginning to end; zeros: none.
using memory_region = std::pair<std::uint64_t, std::uint64_t>;
inline memory_region region_in_process(const std::string& folder, std::uint64_t address) {
  std::ifstream file(folder + "/maps");
  for (std::string line; std::getline(file, line);) {
    unsigned long begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx", &begin, &end) == 2 && address >= begin && address < end) {
      return {begin, end};
    }
  }
  return {};
}

/// The thread whose stack an address lies in; 0: it is not known.
inline std::int64_t thread_around(std::span<const thread_stack> stacks, memory_region region, std::uint64_t address) {
  const auto distance = [address](const thread_stack& s) { return s.at > address ? s.at - address : address - s.at; };
  const thread_stack* nearest = nullptr;  // a region may have several
  for (const thread_stack& s : stacks) {
    if (s.at < region.first || s.at >= region.second) continue;
    if (nearest == nullptr || distance(s) < distance(*nearest)) nearest = &s;
  }
  return nearest != nullptr ? nearest->id : 0;
}

/// A node for a thread that others wait for, which does not sleep for anything of ours.
/// @param id  0: it is not known
inline node holder_of_lock(std::int64_t id, std::string name) {
  node holder{.kind = node_kind::thread, .why = cause::holds_lock, .id = id, .driver = std::move(name)};
  if (id == 0) holder.note = "none of those that sleep has it on its stack: it runs, or has ended";
  return holder;
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
