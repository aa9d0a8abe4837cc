// DF12: two threads exchange fences through slots; while one signals, the other adds a callback.
// Each callback that was added runs once.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <thread>

#include "ufence/fence/fence.h"
#include "ufence/fence/testing/race.h"
#include "ufence/fence/testing/support.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

struct exchange {
  std::array<ufence::atomic<fence*>, 2> slots;
  stress_clock clock{0.5};
};
struct tally {
  long passes = 0;
  long added = 0;
  long late = 0;
  long wrong = 0;  // not run once, or run though it was not added
};

// A fence that this thread has not met: the passes of both threads overlap then.
fence_ref take_new(const ufence::atomic<fence*>& slot, std::uint64_t& seen,
                   const stress_clock& clock) {
  for (int looks = 1; clock.runs(); ++looks) {
    fence_ref other = fence::get_rcu(slot);
    if (other && other->seqno() > seen) {
      seen = other->seqno();
      return other;
    }
    if (looks % 100 == 0) std::this_thread::yield();
  }
  return nullptr;
}

tally exchange_fences(exchange& shared, std::size_t self, bool signal_before) {
  const pinned here(self);
  ufence::atomic<fence*>& mine = shared.slots[self];
  const ufence::atomic<fence*>& theirs = shared.slots[1 - self];
  tally t;
  std::uint64_t seen = 0;
  do {
    new_fence made = make_fence(nullptr, static_cast<std::uint64_t>(t.passes) + 1);
    mine.store(made.fence.get(), mo::seq_cst);
    fence_ref other = take_new(theirs, seen, shared.clock);

    if (signal_before) made.signal.signal();
    scripted_callback node;
    std::error_code added = errno_code(ENOENT);
    if (other) added = other->add_callback(node);
    if (!signal_before) made.signal.signal();

    if (!added) {
      ++t.added;
      const bool settled = other->wait_settled(patience()) == no_error;
      if (!settled || node.runs() != 1) ++t.wrong;
      if (other->remove_callback(node) != result<bool>(false)) ++t.wrong;
    } else {
      ++t.late;
      if (node.runs() != 0) ++t.wrong;
    }
    mine.store(nullptr, mo::seq_cst);
    ++t.passes;
  } while (shared.clock.runs());
  return t;
}

void race_exchanges(bool signal_before) {
  exchange shared;
  std::array<tally, 2> tallies;
  {
    std::jthread other([&] { tallies[1] = exchange_fences(shared, 1, signal_before); });
    tallies[0] = exchange_fences(shared, 0, signal_before);
  }
  for (const tally& t : tallies) {
    EXPECT_EQ(t.wrong, 0) << "callback not seen on fence";
  }
  std::printf("passes %ld %ld, added %ld %ld, late %ld %ld\n", tallies[0].passes, tallies[1].passes,
              tallies[0].added, tallies[1].added, tallies[0].late, tallies[1].late);
}

}  // namespace

TEST(dma_fence, DF12_race_signal_callback_before) { race_exchanges(true); }
TEST(dma_fence, DF12_race_signal_callback_after) { race_exchanges(false); }
