// The parts of a recording: events as they lie in memory and in files, version 2.
//
// A file is a sequence of chunks: a chunk_header and `size` bytes, in the byte order and alignment
// of x86-64 and AArch64. Files of several processes may be put behind each other. The first chunk
// of a process is of the type `process`, the last one, if it came to that, `end`. A chunk of the
// type `events` has whole events of one ring, in the order in which its thread recorded them;
// events of different rings are ordered by their times. A reader takes what lies before the first
// chunk that is incomplete: the program was killed while it wrote.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace ufence::trace {

/// The kind of an event. The numbers are in files: none is ever given to something else.
///
/// `context` and `seqno` are those of the fence that it happened to, where nothing else is said.
enum class event : std::uint16_t {
  none = 0,
  thread = 1,  // the events that follow are of this thread: context its number; text: its name
  names = 2,   // of a timeline: context its own; text: driver, 0, timeline
  init = 3,    // a: context of its timeline, or its own; b: fence_flag bits
  enable_signal = 4,  // it is asked to be signaled
  signaled = 5,       // error
  settled = 6,
  retired = 7,
  wait_start = 8,  // a: how many fences this one stands for, 0 is one
  wait_end = 9,    // error: how the wait ended
  value = 10,      // a timeline: all of its fences up to seqno are signaled
  closed = 11,     // a timeline: its other fences are signaled with the error
  depends = 12,    // a, b: context and seqno of a fence that has to be signaled first
  job_queue =
      13,  // of a scheduler, a: context of its entity, b: how many that one has queued so far
  job_scheduled = 14,
  job_run = 15,      // the device has it; a, b: the device's fence, if it is another one
  job_done = 16,     // error
  module_load = 17,  // context: number of the instance; text: driver, 0, path
  module_step = 18,  // the same; seqno: step of the unload; error: 0, or -EBUSY it was not done
  sync_export = 19,  // a: number of the sync file's socket
  sync_import = 20,  // a: the same number; b: process that exported it; text: driver, 0, timeline
};
inline constexpr std::uint16_t event_last = 20;

/// The kind of a fence: event::init.
namespace fence_flag {
inline constexpr std::uint64_t ordered = 1;    // signaled by the value of its timeline
inline constexpr std::uint64_t container = 2;  // an array or a chain
inline constexpr std::uint64_t legacy = 4;     // not independent of its issuer
inline constexpr std::uint64_t unordered = 8;  // of a timeline, with a context of its own
}  // namespace fence_flag

/// An event. Its text, if it has one, lies in the `more` slots behind it, filled up with zeros.
struct slot {
  std::uint64_t time_ns;  // CLOCK_MONOTONIC
  std::uint64_t context;
  std::uint64_t seqno;
  std::uint64_t a;
  std::uint64_t b;
  std::int32_t error;
  event kind;
  std::uint16_t more;
};
static_assert(sizeof(slot) == 48 && alignof(slot) == 8);

inline constexpr std::uint16_t text_slots_max = 6;

enum class chunk_type : std::uint16_t {
  process = 1,  // process_start, then its command line, words ended by 0
  events = 2,   // slots
  end = 3,      // nothing: the recording was stopped, or the program has ended
};

inline constexpr std::uint32_t chunk_magic = 0x72746675;  // "uftr"
inline constexpr std::uint16_t format_version = 2;
inline constexpr std::uint32_t chunk_size_max = 1U << 26U;

struct chunk_header {
  std::uint32_t magic;
  std::uint16_t version;
  chunk_type type;
  std::uint32_t size;  // of what follows, in bytes: a multiple of 8
  std::uint32_t process;
  std::uint32_t ring;
  std::uint32_t reserved;  // 0
  std::uint64_t dropped;   // events that were left out so far: of this ring; at the end of all
  std::uint64_t checksum;  // of what follows
};
static_assert(sizeof(chunk_header) == 40);

struct process_start {
  std::uint64_t monotonic_ns;
  std::uint64_t realtime_ns;  // at the same moment
};

/// The checksum of a chunk's words, which may be added in several parts: each sixth word to a sum of
/// its own, so that none waits for the one before.
class checksum {
 public:
  constexpr void add(std::span<const std::uint64_t> words) noexcept {
    std::size_t i = 0;
    while (i < words.size() && next_ != 0) add_one(words[i++]);
    for (; words.size() - i >= sums_.size(); i += sums_.size()) {
      for (std::size_t k = 0; k < sums_.size(); ++k) mix(sums_[k], words[i + k]);
    }
    while (i < words.size()) add_one(words[i++]);
  }
  [[nodiscard]] constexpr std::uint64_t value() const noexcept {
    std::uint64_t all = 0;
    for (const std::uint64_t sum : sums_) mix(all, sum);
    return all;
  }

 private:
  constexpr void add_one(std::uint64_t word) noexcept {
    mix(sums_[next_], word);
    next_ = next_ + 1 == sums_.size() ? 0 : next_ + 1;
  }
  static constexpr void mix(std::uint64_t& sum, std::uint64_t word) noexcept {
    sum = (sum ^ word) * 0x9e3779b97f4a7c15;
    sum ^= sum >> 32U;
  }
  static constexpr std::uint64_t begin = 0xcbf29ce484222325;
  std::array<std::uint64_t, 6> sums_{begin, begin, begin, begin, begin, begin};
  std::size_t next_ = 0;
};

[[nodiscard]] constexpr std::uint64_t checksum_of(std::span<const std::uint64_t> words) noexcept {
  checksum sum;
  sum.add(words);
  return sum.value();
}

}  // namespace ufence::trace
