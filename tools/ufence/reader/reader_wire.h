// The messages of the run and its reader process to each other: messages over a socket, with descriptors.
//
//   run to reader   setup, once, with the memory of the blocks
//                   read, with the file
//                   forget, of a timeline
//   reader to run   fences, with a sync file for each read
//                   timeline, with its page
//                   failed, and then it ends
//
// Both are the same program, so there is no version. The run believes nothing of what the reader
// says that could harm it; the reader takes a run that makes no sense for the end.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tools/ufence/reader/fd_message.h"

namespace ufence::tool {

/// The reader's end of the socket.
inline constexpr int reader_socket_fd = 3;

enum class reader_message : std::uint32_t { setup, read, forget, fences, timeline, failed };

struct setup_message {
  reader_message kind = reader_message::setup;
  std::uint32_t cancels_at_reload = 0;
  std::uint64_t block_bytes = 0;
  std::uint64_t block_count = 0;
  std::uint64_t reload_every_ms = 0;
  std::array<char, 4096> driver_path{};  // ends with 0
};

struct read_message {
  reader_message kind = reader_message::read;
  std::uint32_t block = 0;
  std::uint64_t offset = 0;
  // 0: a sync file is wanted. Else the timeline, by the run's number, which is made with its first
  // read; and the read's point: they count up from 1.
  std::uint64_t timeline = 0;
  std::uint64_t point = 0;
};

/// Nothing is read for this timeline any more.
struct forget_message {
  reader_message kind = reader_message::forget;
  std::uint32_t reserved = 0;
  std::uint64_t timeline = 0;
};

/// For each read of the message its fence's file, in order; or, of error, none, if the read could
/// not be begun.
struct fences_message {
  struct entry {
    std::uint32_t block;
    std::int32_t error;  // 0, or a negative errno
  };
  reader_message kind = reader_message::fences;
  std::uint32_t count = 0;
  std::array<entry, message_fds_max> reads{};
};

struct timeline_message {
  reader_message kind = reader_message::timeline;
  std::int32_t error = 0;  // 0, or a negative errno: there is none, and its reads are not begun
  std::uint64_t timeline = 0;
};

struct failed_message {
  reader_message kind = reader_message::failed;
  std::array<char, 1024> why{};  // a line for people, ends with 0
};

template <class Message>
[[nodiscard]] std::span<const std::byte> bytes_of(const Message& m) {
  return std::as_bytes(std::span(&m, 1));
}
template <class Message>
[[nodiscard]] std::span<std::byte> room_of(Message& m) {
  return std::as_writable_bytes(std::span(&m, 1));
}

}  // namespace ufence::tool
