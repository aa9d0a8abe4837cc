// The ring between a thread that records and the one that writes, explored.
#include <array>
#include <optional>
#include <vector>

#include "lab/models/testing/harness.h"
#include "ufence/trace/ring.h"

namespace ufence::lab {
namespace {

using int_ring = trace::ring<int>;

bool put(int_ring& into, int value) {
  bool crosses_half = false;
  if (value % 2 != 0) return into.put_one(value, crosses_half);
  return into.put(std::span<const int>(&value, 1), crosses_half);
}

// Numbers rise, none comes twice, and what did not come was counted.
struct reader {
  int taken = 0;
  int last = 0;
  void take(int_ring& from) {
    taken += static_cast<int>(from.take([this](int value) {
      LAB_CHECK(value > last);
      last = value;
    }));
  }
};

TEST(trace_model, what_is_taken_is_what_was_put_in_and_the_rest_is_counted) {
  expect_safe([] {
    std::array<cell<int>, 2> slots;
    int_ring one(slots);
    LAB_CHECK(one.claim());
    reader all;
    {
      thread owner("owner", [&] {
        for (int i = 1; i <= 4; ++i) static_cast<void>(put(one, i));
      });
      thread writer("writer", [&] {
        all.take(one);
        all.take(one);
      });
    }
    all.take(one);
    LAB_CHECK(all.taken + static_cast<int>(one.dropped()) == 4);
  });
}

TEST(trace_model, an_event_of_several_slots_comes_whole_or_not_at_all) {
  expect_safe([] {
    std::array<cell<int>, 4> slots;
    int_ring one(slots);
    LAB_CHECK(one.claim());
    {
      thread owner("owner", [&] {
        bool crosses_half = false;
        static_cast<void>(one.put(std::array{1, 2, 3}, crosses_half));
        static_cast<void>(one.put(std::array{4, 5, 6}, crosses_half));
      });
      thread writer("writer", [&] {
        const std::size_t n = one.take([](int) {});
        LAB_CHECK(n % 3 == 0);
      });
    }
  });
}

// The last words of a thread are read before the ring is another thread's, which goes on where that
// one has stopped.
TEST(trace_model, a_ring_goes_from_a_thread_that_ends_to_another) {
  expect_safe([] {
    std::array<cell<int>, 2> slots;
    int_ring one(slots);
    LAB_CHECK(one.claim());
    reader all;
    bool had_room = false;
    {
      thread first("first", [&] {
        static_cast<void>(put(one, 1));
        static_cast<void>(put(one, 2));
        one.give_up();
      });
      thread second("second", [&] {
        if (!one.claim()) return;
        LAB_CHECK(put(one, 3));
        had_room = true;
      });
      thread writer("writer", [&] {
        const bool is_last = one.has_ended();
        all.take(one);
        if (!is_last) return;
        LAB_CHECK(all.taken == 2);
        one.recycle();
      });
    }
    all.take(one);
    LAB_CHECK(all.last == (had_room ? 3 : 2));
  });
}

TEST(trace_model, a_thread_finds_the_rings_once_they_are_published) {
  expect_safe([] {
    std::array<cell<int>, 2> slots;
    std::optional<int_ring> one;
    trace::ring_pool<int> pool;
    thread start("start", [&] {
      one.emplace(slots);
      pool.publish({&*one, 1});
    });
    thread owner("owner", [&] {
      if (int_ring* const mine = pool.claim()) LAB_CHECK(put(*mine, 1));
    });
    thread other("other", [&] {
      if (int_ring* const mine = pool.claim()) LAB_CHECK(put(*mine, 1));
    });
  });
}

}  // namespace
}  // namespace ufence::lab
