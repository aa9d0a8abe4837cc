// The reactor: one thread of the process that waits for what other processes do with the
// descriptors of this layer. It is started with the first thing that is watched and ends soon after
// the last.
//
// What is watched has a key that no other descriptor has. Events carry the key, so that one which
// comes late finds nothing. Two ways to be watched:
//   ready     the descriptor is readable: told at once, once; then again after rearm()
//   hung_up   the other end was closed: told in bunches, so that closing costs no switch of threads
// Lock: the table's, a leaf.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <system_error>

#include "ufence/base/api.h"
#include "ufence/base/lock.h"
#include "ufence/base/result.h"

namespace ufence::detail {

struct watched;

/// What is done with one kind of watched things. No lock is held in any of it.
struct watched_kind {
  enum class event : std::uint8_t { ready, hung_up } waits_for;
  /// Of `ready`: by the reactor's thread.
  void (*on_event)(std::uint64_t key) noexcept = nullptr;
  /// Of `hung_up`: did all holders really close it, or does one of them pretend? If so, it is not
  /// asked again. By the reactor's thread or by who makes room for descriptors; nobody else looks
  /// at it meanwhile.
  bool (*is_gone)(watched& w) noexcept = nullptr;
  /// Then, when no event finds it any more: closes its descriptors. Others wait for that: it runs
  /// nothing foreign.
  void (*close)(watched& w) noexcept = nullptr;
  /// Then: frees it.
  void (*end)(watched& w) noexcept = nullptr;
  /// In a child of fork(), for each: closes its descriptors; the memory stays.
  void (*on_fork)(watched& w) noexcept = nullptr;
};

/// The part of a watched thing that is the table's, under its lock.
struct watched {
  const watched_kind* kind = nullptr;  // set before add()
  std::uint64_t key = 0;               // the same
  int fd = -1;                         // by add()
  watched* next = nullptr;
  bool is_doubtful = false;
  bool is_claimed = false;  // somebody asks is_gone
};

/// The table of what is watched, locked.
class UFENCE_SCOPED_CAPABILITY watched_table {
 public:
  watched_table() noexcept;
  ~watched_table();
  watched_table(const watched_table&) = delete;
  watched_table& operator=(const watched_table&) = delete;

  /// What has this key and is of this kind, or nullptr.
  [[nodiscard]] watched* find(std::uint64_t key, const watched_kind& kind) noexcept;
  /// Watches a descriptor. Starts the thread.
  /// @return  -EMFILE, -ENFILE, -ENOMEM, -ENOSPC; -EAGAIN there is no thread to be had
  [[nodiscard]] std::error_code add(watched& w, int fd) noexcept;
  /// On return no event finds it any more; the descriptor is still open, and has to be closed next.
  void remove(watched& w) noexcept;
  /// Tells again when a `ready` descriptor is readable.
  void rearm(watched& w) noexcept;
  /// Its descriptor tells more than is true: asks from time to time instead.
  void doubt(watched& w) noexcept;
  /// How much is watched.
  [[nodiscard]] std::size_t count() const noexcept;
  /// The number of this process as an exporter, random; 0: none to be had.
  [[nodiscard]] std::uint64_t exporter_number() noexcept;
};

/// Handles the hang-ups that are there and that nobody else handles, on this thread.
void reap_hung_up() noexcept;

/// How many things that hung up were closed so far.
[[nodiscard]] std::uint64_t hung_up_closed() noexcept;
/// Closes what hung up, and waits for others who do so.
/// @return  whether anything was closed since then
[[nodiscard]] bool make_room(std::uint64_t closed_before) noexcept;

/// Makes something that needs descriptors. What holders have closed may not have been closed here
/// yet: without a descriptor it is tried again for as long as some come free.
template <class Make>
[[nodiscard]] auto with_room(const Make& make) noexcept {
  for (;;) {
    const std::uint64_t closed_before = hung_up_closed();
    auto made = make();
    const bool has_none =
        !made && (made.error() == errno_code(EMFILE) || made.error() == errno_code(ENFILE));
    if (!has_none || !make_room(closed_before)) return made;
  }
}

}  // namespace ufence::detail
