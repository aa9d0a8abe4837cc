// What the parts of the reactor share: the table of what is watched, and the reactor's descriptors.
// Everybody else has watched_table.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <system_error>

#include "ufence/base/api.h"
#include "ufence/base/lock.h"
#include "ufence/sync/reactor.h"

namespace ufence::detail::reactor {

// The reactor's descriptors, open while its thread runs; -1: not.
struct descriptors {
  int events = -1;    // epoll: everything the thread waits for
  int hung_up = -1;   // epoll: hang-ups; itself in `events`, one-shot
  int listener = -1;  // bound to the process's address
  int wake = -1;      // eventfd: the last thing was removed
};

// Keys of what is watched are below; above are the tags of the reactor's own descriptors.
inline constexpr std::uint64_t own_tags = std::uint64_t{1} << 63;
inline constexpr std::size_t bucket_count = 1024;

extern mutex table_lock;
extern descriptors fds UFENCE_GUARDED_BY(table_lock);
extern std::array<watched*, bucket_count> buckets UFENCE_GUARDED_BY(table_lock);
extern std::size_t watched_count UFENCE_GUARDED_BY(table_lock);
extern std::size_t doubtful_count UFENCE_GUARDED_BY(table_lock);

// reactor_table.cc
bool epoll_change(int epoll, int operation, int fd, std::uint32_t events,
                  std::uint64_t key) noexcept;
[[nodiscard]] watched* find_any(std::uint64_t key) noexcept UFENCE_REQUIRES(table_lock);
void remove_locked(watched& w) noexcept UFENCE_REQUIRES(table_lock);
void doubt_locked(watched& w) noexcept UFENCE_REQUIRES(table_lock);

// hung_up.cc
// Closes the doubtful ones among what waits for a hang-up, if they are gone.
void reap_doubtful() noexcept;
// In a child of fork(): who was at it is not here.
void forget_bunches() noexcept UFENCE_REQUIRES(table_lock);

// reactor.cc
// The number of this process as an exporter; 0: none to be had.
[[nodiscard]] std::uint64_t number_of_process() noexcept UFENCE_REQUIRES(table_lock);
// Starts the thread, if it does not run.
[[nodiscard]] std::error_code start() noexcept UFENCE_REQUIRES(table_lock);

}  // namespace ufence::detail::reactor
