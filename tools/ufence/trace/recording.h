// A recording as it was read: what happened in which process, in the order of time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ufence/trace/format.h"

namespace ufence::tool {

struct recorded_process {
  std::int64_t number = 0;   // 0: the kernel
  std::string command = {};  // its command line
  std::uint64_t start_ns = 0;
  std::uint64_t realtime_ns = 0;  // when it was start_ns
  std::uint64_t dropped = 0;      // events that were left out
  bool has_ended = false;         // its recording is complete
};

struct recorded_thread {
  std::uint32_t process = 0;  // index
  std::uint64_t number = 0;
  std::string name = {};
};

struct recorded_event {
  trace::slot what;
  std::uint32_t thread = 0;  // index
  std::uint32_t text = 0;    // index; 0: none
};

struct recorded_counts {
  std::uint64_t events = 0, fences = 0, waits = 0;  // fences that were made, waits that began
};

struct recording {
  std::vector<recorded_process> processes;
  std::vector<recorded_thread> threads;
  std::vector<recorded_event>
      events;  // by time; those of one time and thread as they were recorded
  std::vector<std::string> texts{std::string()};
  std::vector<std::string> notes;  // what people should know of it: that it is not complete, say
  recorded_counts counts;

  [[nodiscard]] const recorded_process& process_of(const recorded_event& e) const {
    return processes[threads[e.thread].process];
  }
  [[nodiscard]] std::string_view text_of(const recorded_event& e) const { return texts[e.text]; }
  /// Puts the events into the order of time.
  void sort();
};

/// Reads what ufence/trace/format.h describes. What lies behind a chunk that is not complete is
/// noted as missing. Throws std::runtime_error, with one line for people, if it is something else,
/// or damaged.
[[nodiscard]] recording read_recording(std::string_view bytes);
/// The same without the events, their threads and texts: what is in it, in a fraction of the time.
[[nodiscard]] recording count_recording(std::string_view bytes);
/// read_recording() of a file.
[[nodiscard]] recording read_recording_file(const std::string& path);

/// So many bytes are its chunks up to the first one that is not complete: what can stand before
/// those of other processes.
[[nodiscard]] std::size_t complete_size(std::string_view bytes) noexcept;

/// Adds what the kernel's events of dma_fence and gpu_scheduler say: the text of `trace-cmd report`
/// or of trace_pipe. Its clock has to be CLOCK_MONOTONIC, the kernel's `mono`. Other lines are
/// passed over. Throws std::runtime_error if there is none of these events in it.
void add_ftrace(recording& to, std::string_view text);
void add_ftrace_file(recording& to, const std::string& path);

/// The whole file. Throws std::runtime_error.
[[nodiscard]] std::string read_file(const std::string& path);

}  // namespace ufence::tool
