// Litmus tests with known answers. Each gives all outcomes: what is missing is forbidden.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <vector>

#include "lab/engine/explore.h"
#include "lab/engine/scenario.h"
#include "ufence/base/atomic.h"
#include "ufence/base/process_barrier.h"

namespace ufence::lab {
namespace {

using testing::Contains;
using testing::Not;
using outcomes = std::set<std::vector<std::int64_t>>;
using value = std::int64_t;

// All outcomes; every search that is meant to be complete has to agree.
outcomes explored(const std::function<void()>& body) {
  settings with;
  with.how = search::exhaustive;
  const report r = explore(body, with);
  EXPECT_TRUE(r.is_safe()) << r;
  EXPECT_TRUE(r.is_exhaustive()) << r;
  outcomes all;
  for (const auto& [outcome, count] : r.outcomes) all.insert(outcome);
  // Random executions show nothing else.
  with.how = search::random;
  with.random_executions = 500;
  for (const auto& [outcome, count] : explore(body, with).outcomes) {
    EXPECT_THAT(all, Contains(outcome));
  }
  return all;
}

std::size_t executions(const std::function<void()>& body) {
  settings with;
  with.how = search::exhaustive;
  return explore(body, with).executions;
}

template <class... Functions>
void together(Functions... functions) {
  if constexpr (sizeof...(functions) == 2) {
    const auto start = [](auto a, auto b) {
      thread t1("a", a);
      thread t2("b", b);
    };
    start(functions...);
  } else if constexpr (sizeof...(functions) == 3) {
    const auto start = [](auto a, auto b, auto c) {
      thread t1("a", a);
      thread t2("b", b);
      thread t3("c", c);
    };
    start(functions...);
  } else {
    const auto start = [](auto a, auto b, auto c, auto d) {
      thread t1("a", a);
      thread t2("b", b);
      thread t3("c", c);
      thread t4("d", d);
    };
    start(functions...);
  }
}

// --- Store buffering ---

outcomes store_buffering(std::memory_order stores, std::memory_order loads) {
  return explored([=] {
    atomic<int> x{0}, y{0};
    value a = 0, b = 0;
    together([&] { x.store(1, stores), a = y.load(loads); },
             [&] { y.store(1, stores), b = x.load(loads); });
    observe(a, b);
  });
}

TEST(store_buffering, both_may_miss_with_release_and_acquire) {
  const outcomes all{{0, 0}, {0, 1}, {1, 0}, {1, 1}};
  EXPECT_EQ(store_buffering(mo::relaxed, mo::relaxed), all);
  EXPECT_EQ(store_buffering(mo::release, mo::acquire), all);
  EXPECT_EQ(store_buffering(mo::seq_cst, mo::acquire), all);
  EXPECT_EQ(store_buffering(mo::release, mo::seq_cst), all);
}
TEST(store_buffering, one_sees_the_other_with_seq_cst) {
  EXPECT_EQ(store_buffering(mo::seq_cst, mo::seq_cst), (outcomes{{0, 1}, {1, 0}, {1, 1}}));
}
TEST(store_buffering, read_modify_writes_of_one_location_are_ordered) {
  // Each RMW of z sees the other, so its store of before.
  const outcomes seen = explored([] {
    atomic<int> x{0}, y{0}, z{0};
    value a = 0, b = 0;
    together(
        [&] { x.store(1, mo::relaxed), z.fetch_add(1, mo::acq_rel), a = y.load(mo::relaxed); },
        [&] { y.store(1, mo::relaxed), z.fetch_add(1, mo::acq_rel), b = x.load(mo::relaxed); });
    observe(a, b);
  });
  EXPECT_EQ(seen, (outcomes{{0, 1}, {1, 0}, {1, 1}}));
}

outcomes store_buffering_with_fences(std::memory_order fences) {
  return explored([=] {
    atomic<int> x{0}, y{0};
    value a = 0, b = 0;
    together([&] { x.store(1, mo::relaxed), thread_fence(fences), a = y.load(mo::relaxed); },
             [&] { y.store(1, mo::relaxed), thread_fence(fences), b = x.load(mo::relaxed); });
    observe(a, b);
  });
}
TEST(store_buffering, seq_cst_fences_forbid_and_others_do_not) {
  EXPECT_EQ(store_buffering_with_fences(mo::seq_cst), (outcomes{{0, 1}, {1, 0}, {1, 1}}));
  EXPECT_THAT(store_buffering_with_fences(mo::acq_rel), Contains(std::vector<value>{0, 0}));
}

outcomes store_buffering_with_barriers(std::memory_order point, std::memory_order barrier) {
  return explored([=] {
    atomic<int> x{0}, y{0};
    value a = 0, b = 0;
    together([&] { x.store(1, mo::relaxed), barrier_point(point), a = y.load(mo::relaxed); },
             [&] { y.store(1, mo::relaxed), process_barrier(barrier), b = x.load(mo::relaxed); });
    observe(a, b);
  });
}
TEST(store_buffering, a_point_and_a_process_barrier_forbid_and_their_halves_do_not) {
  EXPECT_EQ(store_buffering_with_barriers(mo::acq_rel, mo::acq_rel),
            (outcomes{{0, 1}, {1, 0}, {1, 1}}));
  for (const std::memory_order half : {mo::relaxed, mo::acquire, mo::release}) {
    EXPECT_THAT(store_buffering_with_barriers(half, mo::acq_rel), Contains(std::vector<value>{0, 0}));
    EXPECT_THAT(store_buffering_with_barriers(mo::acq_rel, half), Contains(std::vector<value>{0, 0}));
  }
}
TEST(store_buffering, two_points_forbid_nothing) {
  const outcomes seen = explored([] {
    atomic<int> x{0}, y{0};
    value a = 0, b = 0;
    together([&] { x.store(1, mo::relaxed), barrier_point(mo::acq_rel), a = y.load(mo::relaxed); },
             [&] { y.store(1, mo::relaxed), barrier_point(mo::acq_rel), b = x.load(mo::relaxed); });
    observe(a, b);
  });
  EXPECT_EQ(seen, (outcomes{{0, 0}, {0, 1}, {1, 0}, {1, 1}}));
}
TEST(store_buffering, a_barrier_meets_the_points_of_every_thread) {
  const outcomes seen = explored([] {
    atomic<int> x{0}, y{0}, z{0};
    value a = 0, b = 0, c = 0, d = 0;
    together(
        [&] { x.store(1, mo::relaxed), barrier_point(mo::acq_rel), a = z.load(mo::relaxed); },
        [&] { y.store(1, mo::relaxed), barrier_point(mo::acq_rel), b = z.load(mo::relaxed); },
        [&] {
          z.store(1, mo::relaxed), process_barrier(mo::acq_rel);
          c = x.load(mo::relaxed), d = y.load(mo::relaxed);
        });
    observe(a == 0 && c == 0, b == 0 && d == 0, a == 0 && b == 0 && c == 1 && d == 1);
  });
  EXPECT_EQ(seen, (outcomes{{0, 0, 0}, {0, 0, 1}}));
}

// --- Message passing ---

TEST(message_passing, points_pass_nothing_on_and_a_process_barrier_at_either_end_does) {
  const auto passed = [](bool barrier_writes, bool barrier_reads) {
    const auto between = [](bool is_barrier) {
      is_barrier ? process_barrier(mo::acq_rel) : barrier_point(mo::acq_rel);
    };
    return explored([=] {
      atomic<int> data{0}, flag{0};
      value a = 0, b = 0;
      together([&] { data.store(1, mo::relaxed), between(barrier_writes), flag.store(1, mo::relaxed); },
               [&] { a = flag.load(mo::relaxed), between(barrier_reads), b = data.load(mo::relaxed); });
      observe(a, b);
    });
  };
  EXPECT_THAT(passed(false, false), Contains(std::vector<value>{1, 0}));
  EXPECT_THAT(passed(true, false), Not(Contains(std::vector<value>{1, 0})));
  EXPECT_THAT(passed(false, true), Not(Contains(std::vector<value>{1, 0})));
}

outcomes message_passing(std::memory_order store, std::memory_order load) {
  return explored([=] {
    atomic<int> data{0}, flag{0};
    value a = 0, b = 0;
    together([&] { data.store(1, mo::relaxed), flag.store(1, store); },
             [&] { a = flag.load(load), b = data.load(mo::relaxed); });
    observe(a, b);
  });
}

TEST(message_passing, needs_release_and_acquire) {
  const outcomes ordered{{0, 0}, {0, 1}, {1, 1}};
  const outcomes all{{0, 0}, {0, 1}, {1, 0}, {1, 1}};
  EXPECT_EQ(message_passing(mo::release, mo::acquire), ordered);
  EXPECT_EQ(message_passing(mo::seq_cst, mo::seq_cst), ordered);
  EXPECT_EQ(message_passing(mo::relaxed, mo::acquire), all);
  EXPECT_EQ(message_passing(mo::release, mo::relaxed), all);
}
TEST(message_passing, works_through_fences) {
  const auto passing = [](std::memory_order first, std::memory_order second) {
    return explored([=] {
      atomic<int> data{0}, flag{0};
      value a = 0, b = 0;
      together(
          [&] { data.store(1, mo::relaxed), thread_fence(first), flag.store(1, mo::relaxed); },
          [&] { a = flag.load(mo::relaxed), thread_fence(second), b = data.load(mo::relaxed); });
      observe(a, b);
    });
  };
  const std::vector<value> stale{1, 0};
  EXPECT_THAT(passing(mo::release, mo::acquire), Not(Contains(stale)));
  EXPECT_THAT(passing(mo::seq_cst, mo::seq_cst), Not(Contains(stale)));
  EXPECT_THAT(passing(mo::acquire, mo::acquire), Contains(stale));
  EXPECT_THAT(passing(mo::release, mo::release), Contains(stale));
}
TEST(message_passing, a_release_sequence_goes_on_through_read_modify_writes_only) {
  const auto passing = [](bool by_rmw) {
    return explored([=] {
      atomic<int> data{0}, flag{0};
      value a = 0, b = 0;
      together([&] { data.store(1, mo::relaxed), flag.store(1, mo::release); },
               [&] {
                 if (by_rmw) {
                   int one = 1;
                   flag.compare_exchange(one, 2, mo::relaxed, mo::relaxed);
                 } else if (flag.load(mo::relaxed) == 1) {
                   flag.store(2, mo::relaxed);
                 }
               },
               [&] { a = flag.load(mo::acquire), b = data.load(mo::relaxed); });
      observe(a, b);
    });
  };
  EXPECT_THAT(passing(true), Contains(std::vector<value>{2, 1}));
  EXPECT_THAT(passing(true), Not(Contains(std::vector<value>{2, 0})));
  EXPECT_THAT(passing(false), Contains(std::vector<value>{2, 0}));
}
TEST(message_passing, a_later_relaxed_store_of_the_same_thread_ends_the_release_sequence) {
  // So since C++20.
  const outcomes seen = explored([] {
    atomic<int> data{0}, flag{0};
    value a = 0, b = 0;
    together(
        [&] { data.store(1, mo::relaxed), flag.store(1, mo::release), flag.store(2, mo::relaxed); },
        [&] { a = flag.load(mo::acquire), b = data.load(mo::relaxed); });
    observe(a, b);
  });
  EXPECT_THAT(seen, Contains(std::vector<value>{2, 0}));
  EXPECT_THAT(seen, Not(Contains(std::vector<value>{1, 0})));
}
TEST(message_passing, happens_before_is_transitive) {
  // ISA2: x is passed on by the second thread.
  const auto passing = [](std::memory_order last) {
    return explored([=] {
      atomic<int> x{0}, y{0}, z{0};
      value a = 0, b = 0, c = 0;
      together([&] { x.store(1, mo::relaxed), y.store(1, mo::release); },
               [&] { a = y.load(mo::acquire), z.store(1, last); },
               [&] { b = z.load(mo::acquire), c = x.load(mo::relaxed); });
      observe(a, b, c);
    });
  };
  EXPECT_THAT(passing(mo::release), Not(Contains(std::vector<value>{1, 1, 0})));
  EXPECT_THAT(passing(mo::relaxed), Contains(std::vector<value>{1, 1, 0}));
}

// --- Coherence ---

TEST(coherence, reads_of_one_location_do_not_go_back) {
  EXPECT_EQ(explored([] {
              atomic<int> x{0};
              value a = 0, b = 0;
              together([&] { x.store(1, mo::relaxed), x.store(2, mo::relaxed); },
                       [&] { a = x.load(mo::relaxed), b = x.load(mo::relaxed); });
              observe(a, b);
            }),
            (outcomes{{0, 0}, {0, 1}, {0, 2}, {1, 1}, {1, 2}, {2, 2}}));
}
TEST(coherence, two_readers_agree_on_the_order_of_two_writers) {
  const outcomes seen = explored([] {
    atomic<int> x{0};
    value a = 0, b = 0, c = 0, d = 0;
    together([&] { x.store(1, mo::relaxed); }, [&] { x.store(2, mo::relaxed); },
             [&] { a = x.load(mo::relaxed), b = x.load(mo::relaxed); },
             [&] { c = x.load(mo::relaxed), d = x.load(mo::relaxed); });
    observe(a, b, c, d);
  });
  EXPECT_THAT(seen, Contains(std::vector<value>{1, 2, 1, 2}));
  EXPECT_THAT(seen, Contains(std::vector<value>{2, 1, 2, 1}));
  EXPECT_THAT(seen, Not(Contains(std::vector<value>{1, 2, 2, 1})));
  EXPECT_THAT(seen, Not(Contains(std::vector<value>{2, 1, 1, 2})));
}
TEST(coherence, a_store_behind_a_read_is_newer_than_what_was_read) {
  // CoRW, and CoWR: a thread reads its own store or a newer one.
  EXPECT_EQ(
      explored([] {
        atomic<int> x{0};
        value a = 0, b = 0;
        together([&] { a = x.load(mo::relaxed), x.store(1, mo::relaxed), b = x.load(mo::relaxed); },
                 [&] { x.store(2, mo::relaxed); });
        observe(a, b, x.load(mo::relaxed));
      }),
      (outcomes{{0, 1, 1}, {0, 1, 2}, {0, 2, 2}, {2, 1, 1}}));
}

// --- Independent reads of independent writes, and other shapes ---

outcomes iriw(std::memory_order store, std::memory_order load) {
  return explored([=] {
    atomic<int> x{0}, y{0};
    value a = 0, b = 0, c = 0, d = 0;
    together([&] { x.store(1, store); }, [&] { y.store(1, store); },
             [&] { a = x.load(load), b = y.load(load); },
             [&] { c = y.load(load), d = x.load(load); });
    observe(a, b, c, d);
  });
}
TEST(iriw, readers_may_disagree_unless_all_is_seq_cst) {
  const std::vector<value> disagree{1, 0, 1, 0};
  EXPECT_EQ(iriw(mo::seq_cst, mo::seq_cst).size(), 15U);
  EXPECT_THAT(iriw(mo::seq_cst, mo::seq_cst), Not(Contains(disagree)));
  EXPECT_EQ(iriw(mo::release, mo::acquire).size(), 16U);
  EXPECT_THAT(iriw(mo::release, mo::acquire), Contains(disagree));
  EXPECT_THAT(iriw(mo::seq_cst, mo::acquire), Contains(disagree));
}
TEST(iriw, seq_cst_fences_between_the_reads_make_readers_agree) {
  const outcomes seen = explored([] {
    atomic<int> x{0}, y{0};
    value a = 0, b = 0, c = 0, d = 0;
    together([&] { x.store(1, mo::relaxed); }, [&] { y.store(1, mo::relaxed); },
             [&] { a = x.load(mo::relaxed), thread_fence(mo::seq_cst), b = y.load(mo::relaxed); },
             [&] { c = y.load(mo::relaxed), thread_fence(mo::seq_cst), d = x.load(mo::relaxed); });
    observe(a, b, c, d);
  });
  EXPECT_THAT(seen, Not(Contains(std::vector<value>{1, 0, 1, 0})));
  EXPECT_EQ(seen.size(), 15U);
}
TEST(write_to_read_causality, carries_a_seq_cst_store_along) {
  // W+RWC: the seq_cst order follows happens-before through other accesses.
  const auto seen = [](std::memory_order flag) {
    return explored([=] {
      atomic<int> x{0}, y{0}, f{0};
      value a = 0, b = 0, c = 0;
      together([&] { x.store(1, mo::seq_cst), f.store(1, flag); },
               [&] { a = f.load(mo::acquire), b = y.load(mo::seq_cst); },
               [&] { y.store(1, mo::seq_cst), c = x.load(mo::seq_cst); });
      observe(a, b, c);
    });
  };
  EXPECT_THAT(seen(mo::release), Not(Contains(std::vector<value>{1, 0, 0})));
  EXPECT_THAT(seen(mo::relaxed), Contains(std::vector<value>{1, 0, 0}));
}
TEST(seq_cst, need_not_follow_happens_before_where_weaker_accesses_are_mixed_in) {
  // Z6.U of the RC11 paper: allowed, and seen on POWER.
  const outcomes seen = explored([] {
    atomic<int> x{0}, y{0};
    value a = 0, b = 0, c = 0;
    together([&] { x.store(1, mo::seq_cst), y.store(1, mo::release); },
             [&] { a = y.fetch_add(1, mo::seq_cst), b = y.load(mo::relaxed); },
             [&] { y.store(3, mo::seq_cst), c = x.load(mo::seq_cst); });
    observe(a, b, c);
  });
  EXPECT_THAT(seen, Contains(std::vector<value>{1, 3, 0}));
}
TEST(two_plus_two_writes, may_end_crosswise_unless_seq_cst) {
  const auto ends = [](std::memory_order order) {
    return explored([=] {
      atomic<int> x{0}, y{0};
      together([&] { x.store(1, order), y.store(2, order); },
               [&] { y.store(1, order), x.store(2, order); });
      observe(x.load(mo::relaxed), y.load(mo::relaxed));
    });
  };
  EXPECT_EQ(ends(mo::release), (outcomes{{1, 1}, {1, 2}, {2, 1}, {2, 2}}));
  EXPECT_EQ(ends(mo::seq_cst), (outcomes{{1, 2}, {2, 1}, {2, 2}}));
}
TEST(load_buffering, is_out_of_scope) {
  // The standard allows {1, 1}; no compiler and few processors show it. Nothing here may rely on
  // its absence being proven.
  EXPECT_EQ(explored([] {
              atomic<int> x{0}, y{0};
              value a = 0, b = 0;
              together([&] { a = x.load(mo::relaxed), y.store(1, mo::relaxed); },
                       [&] { b = y.load(mo::relaxed), x.store(1, mo::relaxed); });
              observe(a, b);
            }),
            (outcomes{{0, 0}, {0, 1}, {1, 0}}));
}

// --- Read-modify-writes ---

TEST(read_modify_write, none_is_lost) {
  EXPECT_EQ(explored([] {
              atomic<int> x{0};
              const auto add = [&] { x.fetch_add(1, mo::relaxed), x.fetch_add(1, mo::relaxed); };
              together(add, add, add);
              observe(x.load(mo::relaxed));
            }),
            (outcomes{{6}}));
}
TEST(read_modify_write, a_plain_store_may_stand_anywhere_but_inside_one) {
  EXPECT_EQ(explored([] {
              atomic<int> x{0};
              value old = 0;
              together([&] { old = x.fetch_add(10, mo::relaxed); },
                       [&] { x.store(1, mo::relaxed); });
              observe(old, x.load(mo::relaxed));
            }),
            (outcomes{{0, 1}, {1, 11}}));
}
TEST(read_modify_write, all_kinds_compute) {
  EXPECT_EQ(explored([] {
              atomic<std::uint8_t> x{0xF0};
              const value bit_or = x.fetch_or(0x0F, mo::relaxed);
              const value bit_and = x.fetch_and(0x3C, mo::relaxed);
              const value bit_xor = x.fetch_xor(0xFF, mo::relaxed);
              const value add = x.fetch_add(0x40, mo::relaxed);
              const value subtract = x.fetch_sub(0x04, mo::relaxed);
              const value exchange = x.exchange(7, mo::relaxed);
              observe(bit_or, bit_and, bit_xor, add, subtract, exchange, x.load(mo::relaxed));
            }),
            (outcomes{{0xF0, 0xFF, 0x3C, 0xC3, 0x03, 0xFF, 7}}));
}
TEST(compare_exchange, exactly_one_of_two_wins) {
  EXPECT_EQ(explored([] {
              atomic<int> x{0};
              value a = 0, b = 0;
              const auto take = [&](value& won, int as) {
                int expected = 0;
                won = x.compare_exchange(expected, as, mo::relaxed, mo::relaxed) ? -1 : expected;
              };
              together([&] { take(a, 1); }, [&] { take(b, 2); });
              observe(a, b);
            }),
            (outcomes{{-1, 1}, {2, -1}}));
}

// --- Each execution once ---

TEST(exhaustive_search, visits_each_execution_graph_once) {
  EXPECT_EQ(executions([] {  // 9! / (3! 3! 3!) orders of nine read-modify-writes
              atomic<int> x{0};
              const auto add = [&] {
                for (int i = 0; i < 3; ++i) x.fetch_add(1, mo::relaxed);
              };
              together(add, add, add);
            }),
            1680U);
  EXPECT_EQ(executions([] {  // independent threads: one
              atomic<int> x{0}, y{0}, z{0};
              together([&] { x.store(1, mo::relaxed), x.store(2, mo::relaxed); },
                       [&] { y.store(1, mo::relaxed), y.store(2, mo::relaxed); },
                       [&] { z.store(1, mo::relaxed), z.store(2, mo::relaxed); });
            }),
            1U);
  EXPECT_EQ(executions([] {  // three writers: the orders of their stores
              atomic<int> x{0};
              together([&] { x.store(1, mo::relaxed); }, [&] { x.store(2, mo::relaxed); },
                       [&] { x.store(3, mo::relaxed); });
            }),
            6U);
}

}  // namespace
}  // namespace ufence::lab
