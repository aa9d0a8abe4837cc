// What a test tells the test driver `puppet`, and what that tells the test. Both run in one process: the
// board is the test's memory, and lives longer than the module.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "ufence/driver.h"

namespace ufence::puppet {

enum opcode : std::uint32_t {
  attach,        // the board to use from now on; is signaled at once
  now,           // signaled in submit(), with `error`
  hold,          // until it is finished, cancelled, or the host ends it
  work,          // by a worker thread, soon
  refuse,        // submit() returns `error`
  refuse_decided,  // signals, then refuses
  throw_it,      // submit() throws
  twice,         // signaled, then again
  spoil,         // signaled, then writes to the arguments
  copy,          // decides a copy of the job
  block,         // submit() waits for board.release
  finish,        // the held job `value`, with `error`; this one too
  finish_all,    // all held jobs
  decide_only,   // the held job `value`: decided, its settlement is kept
  settle,        // the settlements that were kept
  hand_over,     // the held job `value`: decided, its settlement goes to the board
  tell,          // calls the host's report()
  linger,        // a thread starts that ends when board.release says so
  block_and_hold,  // submit() waits for board.release, then holds it
  unlinked,      // a held job that no op and no retire() knows
};

/// Each a number of calls, if nothing else is said.
struct board {
  std::atomic<std::uint64_t> submits{0}, enables{0}, polls{0}, deadlines{0}, retires{0}, cancels{0};
  std::atomic<std::uint64_t> observes{0}, callbacks{0}, notify_requests{0}, line_retires{0}, releases{0};
  std::atomic<std::uint64_t> stops{0}, exits{0}, held{0}, late{0};
  std::atomic<std::int64_t> deadline_ns{0};  // the last one
  std::atomic<int> enable_result{0}, poll_result{0};
  std::atomic<std::uint32_t> ignores_cancel{0};
  // While not 0, these wait for `release`.
  std::atomic<std::uint32_t> blocks_polls{0}, blocks_callbacks{0};
  std::atomic<std::uint32_t> blocks_cancel{0}, blocks_stop{0}, blocks_exit{0};
  mutable std::atomic<std::uint32_t> blocked{0};  // how many threads wait now
  std::atomic<std::uint32_t> release{0};          // set by the test
  std::atomic<std::uint32_t> throws{0};      // enable, poll, retire, callback and stop throw
  std::atomic<int> double_decide{0};         // what the second decision of `twice` said
  std::atomic<int> copy_decide{0};
  ufence_settlement handed = UFENCE_SETTLEMENT_INIT;  // for host->settle()
  const ufence_host* host = nullptr;
  void (*code)() = nullptr;  // of the module

  // Not std::atomic's wait(): its list of waiters is another one in each shared object.
  void wait_here() const noexcept {
    blocked.fetch_add(1);
    while (release == 0) std::this_thread::yield();
    blocked.fetch_sub(1);
  }
  void let_go() noexcept { release = 1; }
};

struct arguments {
  board* to = nullptr;
  std::uint64_t value = 0;
  std::int32_t error = 0;
  std::uint32_t unused = 0;
};

}  // namespace ufence::puppet
