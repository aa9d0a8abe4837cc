// The reactor: one thread of the process that waits for what other processes do with sockets. It is
// started with the first thing that is watched and ends soon after the last. It does not know its
// clients: what they want to be done is in their watched_kind.
//
// Each watched thing has a key that no other descriptor has. Events carry the key, so that one which
// comes late finds nothing. Two ways to be watched:
//   ready        the descriptor is readable: told at once, once; then again after rearm()
//   peer_closed  the other end was closed: told in batches, so that closing costs no switch of
//                threads; messages that arrive there are told as well, to kinds that take them
//
// States of a watched thing; each change under the lock:
//
//   from      to        by                       on which thread
//   idle      watched   add()                    its maker's
//   watched   idle      remove()                 its owner's (never of one that is claimed)
//   watched   doubtful  doubt(), claim_batch     its client's; the one that claimed it
//   doubtful  idle      remove()                 its owner's
//   watched   claimed   reap_closed()            the reactor's, or one that lacks descriptors
//   doubtful  claimed   look_at_doubtful()       the same
//   claimed   watched   serve_messages()         a side thread, when it has read the messages
//   claimed   doubtful  claim_batch::take_out()  the one that claimed it: is_gone() says no
//   claimed   gone      claim_batch::take_out()  the one that claimed it: is_gone() says yes
//   gone      (closed)  kind->close()            the same, without the lock; others wait for this
//   closed    (freed)   kind->free()             the same
//
// A claimed thing belongs to the thread that claimed it: it stays in the table, and nobody else
// looks at it. A doubtful one is not in an epoll: its descriptor tells more than is true, so the
// reactor looks every 100 ms. Lock: the reactor's, a leaf. The lab has a double of this file's
// functions.
#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <system_error>

#include "ufence/base/api.h"
#include "ufence/base/atomic.h"
#include "ufence/base/lock.h"
#include "ufence/base/result.h"

namespace ufence::detail {

struct watched;

/// The functions for one kind of watched things. No lock is held in any of it.
struct watched_kind {
  enum class event : std::uint8_t { ready, peer_closed } waits_for;
  /// Of `ready`: by the reactor's thread.
  void (*on_ready)(std::uint64_t key) noexcept = nullptr;
  /// Of `peer_closed`, if it takes messages: some wait at the descriptor. By a side thread, so that
  /// it may block; nobody else looks at it meanwhile. True: there may be more.
  bool (*on_message)(watched& w) noexcept = nullptr;
  /// Of `peer_closed`: did all holders really close it, or does one of them pretend? If so, it is
  /// not asked again.
  bool (*is_gone)(watched& w) noexcept = nullptr;
  /// Then, when no event finds it any more: closes its descriptors. Others wait for that: it runs
  /// nothing foreign.
  void (*close)(watched& w) noexcept = nullptr;
  /// Then: frees it.
  void (*free)(watched& w) noexcept = nullptr;
  /// In a child of fork(), for each: closes its descriptors; the memory stays.
  void (*on_fork)(watched& w) noexcept = nullptr;
  /// Somebody has closed the library's descriptors (close_range): the numbers are others' now, and
  /// are forgotten without being closed; the memory stays.
  void (*on_loss)(watched& w) noexcept = nullptr;
};

enum class watched_state : std::uint8_t { idle, watched, doubtful, claimed, gone };

/// The part of a watched thing that is the reactor's, under its lock.
struct watched {
  const watched_kind* kind = nullptr;  // set before add()
  std::uint64_t key = 0;               // the same
  int fd = -1;                         // by add()
  watched* next = nullptr;
  std::uint64_t looked_in = 0;  // the last round that looked at it while it was doubtful
  watched_state state = watched_state::idle;
  bool is_in_epoll = false;
};

/// Threads: any, concurrently.
class reactor {
 public:
  constexpr reactor() noexcept = default;
  reactor(const reactor&) = delete;
  reactor& operator=(const reactor&) = delete;

  mutex lock{lock_rank::leaf};

  // --- The table of what is watched ---

  /// The watched thing that has this key and is of this kind, or nullptr.
  [[nodiscard]] watched* find(std::uint64_t key, const watched_kind& kind) noexcept
      UFENCE_REQUIRES(lock);
  /// Watches a descriptor. Starts the thread; anew where somebody has closed its descriptors, and
  /// with them all that was watched.
  /// @return  -EMFILE, -ENFILE, -ENOMEM, -ENOSPC; -EAGAIN there is no thread to be had; what a
  ///          sandbox says of epoll_create1 or eventfd2
  [[nodiscard]] std::error_code add(watched& w, int fd) noexcept UFENCE_REQUIRES(lock);
  /// On return no event finds it any more; the descriptor is still open, and has to be closed next.
  void remove(watched& w) noexcept UFENCE_REQUIRES(lock);
  /// Tells again when a `ready` descriptor is readable.
  void rearm(watched& w) noexcept UFENCE_REQUIRES(lock);
  /// Its descriptor tells more than is true: looks from time to time instead.
  void doubt(watched& w) noexcept UFENCE_REQUIRES(lock);
  /// The number of watched things.
  [[nodiscard]] std::size_t count() const noexcept UFENCE_REQUIRES(lock) { return count_; }

  // --- What was closed elsewhere ---

  /// Handles what other processes have closed and nobody else handles, on this thread.
  void reap_closed() noexcept UFENCE_EXCLUDES(lock);
  /// How many things were closed so far because others had closed their end.
  [[nodiscard]] std::uint64_t closed_count() noexcept UFENCE_EXCLUDES(lock);
  /// Closes what others have closed, and waits for threads that do so.
  /// @return  whether anything was closed since then
  [[nodiscard]] bool make_room(std::uint64_t closed_before) noexcept UFENCE_EXCLUDES(lock);

  /// A child has no reactor, and none of what its parent watches is its own.
  void forget_all() noexcept UFENCE_REQUIRES(lock);

 private:
  class claim_batch;
  class loop;

  // Its descriptors, open while its thread runs; -1: not.
  struct descriptors {
    int events = -1;  // epoll: everything the thread waits for
    int closed = -1;  // epoll: what waits for peer_closed; itself in `events`, one-shot
    int wake = -1;    // eventfd: the thread has to look at the time again
  };
  static constexpr std::size_t bucket_count = 1024;

  // reactor.cc
  [[nodiscard]] std::error_code start() noexcept UFENCE_REQUIRES(lock);
  [[nodiscard]] std::error_code open_descriptors() noexcept UFENCE_REQUIRES(lock);
  [[nodiscard]] bool has_its_descriptors() noexcept UFENCE_REQUIRES(lock);
  void lose_all() noexcept UFENCE_REQUIRES(lock);
  void close_descriptors() noexcept UFENCE_REQUIRES(lock);

  // reactor_table.cc
  [[nodiscard]] watched*& bucket_of(std::uint64_t key) noexcept UFENCE_REQUIRES(lock);
  [[nodiscard]] watched* find_any(std::uint64_t key) noexcept UFENCE_REQUIRES(lock);
  void wake_thread() noexcept UFENCE_REQUIRES(lock);
  void leave_epoll(watched& w) noexcept UFENCE_REQUIRES(lock);
  void set_state(watched& w, watched_state to) noexcept UFENCE_REQUIRES(lock);

  // peer_closed.cc
  // Looks at some of the doubtful things that this round did not look at yet. False: that was all.
  [[nodiscard]] bool look_at_doubtful(std::uint64_t round, bool only_closed) noexcept
      UFENCE_EXCLUDES(lock);
  [[nodiscard]] std::uint64_t begin_round() noexcept UFENCE_EXCLUDES(lock);
  void claim(claim_batch& batch, watched& w) noexcept UFENCE_REQUIRES(lock);
  void serve_messages(std::uint64_t key) noexcept UFENCE_EXCLUDES(lock);
  void give_back(watched& w, bool may_be_more) noexcept UFENCE_REQUIRES(lock);
  [[nodiscard]] bool was_closed(std::uint64_t closed_before) noexcept UFENCE_EXCLUDES(lock);

  descriptors fds_ UFENCE_GUARDED_BY(lock);
  std::array<watched*, bucket_count> buckets_ UFENCE_GUARDED_BY(lock){};
  std::size_t count_ UFENCE_GUARDED_BY(lock) = 0;
  std::size_t doubtful_count_ UFENCE_GUARDED_BY(lock) = 0;
  bool is_running_ UFENCE_GUARDED_BY(lock) = false;
  std::uint64_t life_ UFENCE_GUARDED_BY(lock) = 0;  // counts the threads: one of an older life ends
  std::uint64_t last_round_ UFENCE_GUARDED_BY(lock) = 0;
  // Batches that some thread is about to close, and how many things were closed so.
  std::size_t batches_claimed_ UFENCE_GUARDED_BY(lock) = 0;
  std::uint64_t closed_count_ UFENCE_GUARDED_BY(lock) = 0;
  atomic<std::uint32_t> batches_done_{0};  // written under the lock; slept on
};

/// The reactor of this process.
extern reactor the_reactor;

/// Makes something that needs descriptors. What holders have closed may not have been closed here
/// yet: without a descriptor it is tried again for as long as some come free.
template <class Make>
[[nodiscard]] auto with_room(const Make& make) noexcept {
  for (;;) {
    const std::uint64_t closed_before = the_reactor.closed_count();
    auto made = make();
    const bool has_none =
        !made && (made.error() == errno_code(EMFILE) || made.error() == errno_code(ENFILE));
    if (!has_none || !the_reactor.make_room(closed_before)) return made;
  }
}

}  // namespace ufence::detail
