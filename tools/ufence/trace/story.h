// The story of each fence of a recording: from its events, what a person wants to see.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/ufence/trace/recording.h"

namespace ufence::tool {

inline constexpr std::uint32_t no_index = UINT32_MAX;

/// The fences of one timeline, or what else is told together.
struct story_row {
  std::uint32_t process = 0;
  std::uint64_t context = 0;
  std::string driver = {}, timeline = {};
  /// Unique in its process: as the kernel's fences are called in traces.
  std::string name = {};
  bool is_container = false;  // all arrays and chains of a process
  bool is_mixed = false;  // fences of several contexts: containers, and those without a timeline
};

/// Times are ns of CLOCK_MONOTONIC; 0: that was not recorded.
struct story_fence {
  std::uint32_t row = 0;
  std::uint64_t context = 0, seqno = 0;
  std::uint64_t made_ns = 0;  // or when its recording began
  std::uint64_t enabled_ns = 0, signaled_ns = 0, settled_ns = 0, retired_ns = 0;
  std::uint64_t queued_ns = 0, scheduled_ns = 0, run_ns = 0, done_ns = 0;       // of its job
  std::uint32_t made_by = no_index, signaled_by = no_index, run_by = no_index;  // threads
  int error = 0;
  bool was_made_before = false;  // before the recording
};

struct story_wait {
  std::uint32_t thread = 0, fence = 0;
  std::uint64_t begin_ns = 0, end_ns = 0;  // end 0: it did not end
  int error = 0;
};

/// `fence` is not signaled before `on` is.
struct story_dependency {
  std::uint32_t fence = 0, on = 0;
};

/// A load, or a step of an unload.
struct story_step {
  std::uint64_t time_ns = 0;
  std::uint32_t thread = 0;
  std::uint64_t instance = 0;
  int step = 0;  // 0: it was loaded
  int error = 0;
  std::string driver = {}, path = {};
};

struct story {
  std::vector<story_row> rows;
  std::vector<story_fence> fences;
  std::vector<story_wait> waits;
  std::vector<story_dependency> dependencies;
  std::vector<story_step> steps;
  std::vector<std::uint32_t> fence_of_event;  // of each event of the recording; no_index: of none
  std::uint64_t begin_ns = 0, end_ns = 0;
};

[[nodiscard]] story tell(const recording& r);

/// Slices that overlap can't lie in one row: gives each fence of a row a lane in which it is alone.
/// @return  the lane of each fence
[[nodiscard]] std::vector<std::uint32_t> lanes_of(const story& s);

}  // namespace ufence::tool
