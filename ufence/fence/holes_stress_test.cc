// The holes that the models of one fence find when one of the protocol's steps is left out: the
// same programs, over the real sources, in tight loops. Each case names the step.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "ufence/fence/fence.h"
#include "ufence/fence/testing/race.h"
#include "ufence/fence/testing/support.h"

using namespace ufence;
using namespace ufence::testing;

// --- get_rcu ---

TEST(hole_get_rcu, without_the_second_look_at_the_slot_finds_a_recycled_fence) {
  // One thread: its slab hands the freed fence out again, into the other slot.
  constexpr std::uint64_t first_kind = 1;
  constexpr std::uint64_t second_kind = 2;
  ufence::atomic<fence*> first;
  ufence::atomic<fence*> second;
  std::atomic<bool> stop = false;
  std::atomic<long> wrong = 0;
  std::atomic<long> taken = 0;
  const pinned here(0);
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      const pinned there(1);
      while (!stop) {
        if (const fence_ref f = fence::get_rcu(first)) {
          if (f->seqno() != first_kind) ++wrong;
          ++taken;
        }
        if (const fence_ref f = fence::get_rcu(second)) {
          if (f->seqno() != second_kind) ++wrong;
        }
      }
    });
  }
  const auto put_in_and_out = [](ufence::atomic<fence*>& slot, std::uint64_t kind) {
    new_fence made = make_fence(nullptr, kind);
    slot.store(made.fence.get(), mo::release);
    made.signal.signal();
    slot.store(nullptr, mo::release);
  };
  for (const stress_clock clock(0.5); clock.runs() || taken == 0;) {
    put_in_and_out(first, first_kind);
    put_in_and_out(second, second_kind);
  }
  stop = true;
  for (std::thread& t : readers) t.join();
  EXPECT_EQ(wrong, 0);
}

// --- One fence ---

TEST(hole_fence, deciding_in_one_step_against_who_adds_and_removes) {
  std::optional<new_fence> made;
  std::unique_ptr<scripted_callback> node;
  long wrong = 0;
  race r;
  r.run(
      stress_clock(0.4),
      [&] {
        made = make_fence();
        node = std::make_unique<scripted_callback>();
      },
      {[&] { made->signal.signal(); },
       [&] {
         const std::error_code added = made->fence->add_callback(*node);
         const result<bool> removed = made->fence->remove_callback(*node);
         const int runs = !added && removed == result<bool>(false) ? 1 : 0;
         if (node->runs() != runs || !removed) ++wrong;
         node.reset();
       }},
      [&] {
        if (!made->fence->is_settled()) ++wrong;
      });
  EXPECT_EQ(wrong, 0);
}

TEST(hole_fence, a_settlement_in_other_hands_against_ops_and_removal) {
  std::optional<new_fence> made;
  scripted_backend data;
  std::unique_ptr<contender> adder;
  std::atomic<void*> handed = nullptr;
  std::atomic<long> wrong = 0;
  race r;
  r.run(
      stress_clock(0.5),
      [&] {
        data.retires = 0;
        made = make_fence(&data);
        adder = std::make_unique<contender>();
        adder->add_to(*made->fence);
      },
      {[&] {
         settlement later;
         made->signal.decide(-EIO, later);
         handed = later.give_up();
       },
       [&] {
         void* head = nullptr;
         while ((head = handed.exchange(nullptr)) == nullptr) spin_pause();
         settlement::adopt(head).settle();
         if (made->fence->wait_quiesced(patience()) != no_error) ++wrong;
       },
       [&] {
         made->fence->poll();
         const result<bool> removed = made->fence->remove_callback(*adder);
         if (!removed || *removed != (adder->runs == 0)) ++wrong;
       }},
      [&] {
        if (data.retires != 1 || !made->fence->is_settled()) ++wrong;
      });
  EXPECT_EQ(wrong, 0);
}

TEST(hole_fence, two_signallers_and_an_op_that_signals_retire_once) {
  std::optional<new_fence> made;
  scripted_backend data;
  signaler in_op;
  signaler other;
  std::array<bool, 3> won{};
  data.on_poll = [&] {
    won[2] = in_op.signal(-3);
    return 0;
  };
  long wrong = 0;
  race r;
  r.run(
      stress_clock(0.5),
      [&] {
        data.retires = 0;
        won = {};
        made = make_fence(&data);
        in_op = made->signal.share();
        other = made->signal.share();
      },
      {[&] { won[0] = made->signal.signal(-1); }, [&] { won[1] = other.signal(-2); },
       [&] { made->fence->poll(); }},
      [&] {
        if (won[0] + won[1] + won[2] != 1 || data.retires != 1) ++wrong;
        if (!won[static_cast<std::size_t>(-made->fence->error() - 1)]) ++wrong;
        if (made->fence->wait_quiesced(no_wait)) ++wrong;
        in_op = signaler();
      });
  EXPECT_EQ(wrong, 0);
}

TEST(hole_fence, a_late_enable_links_and_retire_unlinks) {
  struct listed : scripted_backend {
    std::mutex lock;
    bool in_list = false;
  };
  std::optional<new_fence> made;
  std::unique_ptr<listed> data;
  bool left_in_list = false;
  long wrong = 0;
  race r;
  r.run(
      stress_clock(0.4),
      [&] {
        data = std::make_unique<listed>();
        data->on_enable_signaling = [raw = data.get()] {
          const std::lock_guard guard(raw->lock);
          raw->in_list = true;
          return 0;
        };
        data->on_retire = [&, raw = data.get()](retired_by) {
          {
            const std::lock_guard guard(raw->lock);
            raw->in_list = false;
          }
          left_in_list = raw->in_list;  // nobody can link it any more
          data.reset();
        };
        made = make_fence(data.get());
      },
      {[&] { made->signal.signal(); }, [&] { made->fence->enable_signaling(); }},
      [&] {
        if (data != nullptr || left_in_list) ++wrong;
      });
  EXPECT_EQ(wrong, 0);
}

// --- Groups of callbacks ---

TEST(hole_callback_group, closing_against_callbacks_that_free_themselves) {
  // Unlinked from the group by the one who pops, or close() finds a node that is gone.
  constexpr int n = 4;
  std::array<new_fence, n> fences;
  std::optional<callback_group> group;
  std::atomic<int> ran = 0;
  std::size_t removed = 0;
  std::vector<scripted_callback*> nodes;
  std::array<std::atomic<bool>, n> freed;
  long wrong = 0;
  race r;
  r.run(
      stress_clock(0.5),
      [&] {
        group.emplace();
        nodes.clear();
        ran = 0;
        for (std::size_t i = 0; i < n; ++i) {
          fences[i] = make_fence();
          freed[i] = false;
          auto node = std::make_unique<scripted_callback>();
          scripted_callback* raw = node.release();
          raw->then([&, i, raw](fence&) {
            ++ran;
            freed[i] = true;
            delete raw;
          });
          ASSERT_EQ(fences[i].fence->add_callback(*raw, &*group), no_error);
          nodes.push_back(raw);
        }
      },
      {[&] {
         for (new_fence& made : fences) made.signal.signal();
       },
       [&] {
         if (group->close(&removed)) ++wrong;
       }},
      [&] {
        if (ran + static_cast<int>(removed) != n) ++wrong;
        for (std::size_t i = 0; i < n; ++i) {
          if (!freed[i]) delete nodes[i];
        }
        group.reset();
      });
  EXPECT_EQ(wrong, 0);
}
