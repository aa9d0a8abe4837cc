// Loops: what the searches leave out of them must be found elsewhere.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <iostream>
#include <memory>
#include <set>
#include <vector>

#include "lab/engine/explore.h"
#include "lab/engine/machine.h"
#include "lab/engine/mode.h"
#include "lab/engine/scenario.h"
#include "ufence/base/atomic.h"
#include "ufence/base/clock.h"
#include "ufence/base/futex.h"
#include "ufence/base/lock.h"
#include "ufence/base/lock_rank.h"

namespace ufence::lab {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using outcomes = std::set<std::vector<std::int64_t>>;
using value = std::int64_t;

report explored(const std::function<void()>& body, bool skip_retries = true) {
  settings with;
  with.how = search::exhaustive;
  with.skip_retries = skip_retries;
  return explore(body, with);
}

// All outcomes of a scenario that nothing goes wrong in, with and without reduced retries; random
// and bounded executions show no others, and find nothing wrong.
outcomes outcomes_of(const std::function<void()>& body) {
  outcomes all;
  for (const bool skip_retries : {true, false}) {
    const report r = explored(body, skip_retries);
    EXPECT_TRUE(r.is_safe()) << r;
    if (skip_retries) {
      EXPECT_TRUE(r.is_exhaustive()) << r;
      for (const auto& [outcome, count] : r.outcomes) all.insert(outcome);
    }
    for (const auto& [outcome, count] : r.outcomes) EXPECT_THAT(all, Contains(outcome));
  }
  settings with;
  with.random_executions = 500;
  for (const search how : {search::random, search::bounded}) {
    with.how = how;
    with.seconds = 2;
    const report r = explore(body, with);
    EXPECT_TRUE(r.is_safe()) << r;
    for (const auto& [outcome, count] : r.outcomes) EXPECT_THAT(all, Contains(outcome));
  }
  return all;
}

// Found by each search, and repeated by its trace.
void expect_found(failure what, const std::function<void()>& body, settings with = {}) {
  for (const search how : {search::exhaustive, search::bounded, search::random}) {
    with.how = how;
    with.skip_retries = how != search::exhaustive;  // without: no random executions come first
    with.replay.clear();
    const report r = explore(body, with);
    EXPECT_EQ(r.found.kind, what) << to_string(how) << ": " << r;
    EXPECT_THAT(r.found.text, Not(HasSubstr("not repeated")));
    with.replay = r.trace;
    const report again = explore(body, with);
    EXPECT_EQ(again.found.kind, what) << again;
    EXPECT_EQ(again.interleaving, r.interleaving);
  }
}

template <class... Functions>
void together(Functions... functions);
template <>
void together<>() {}
template <class First, class... Rest>
void together(First first, Rest... rest) {
  thread t("t", first);
  together(rest...);
}

// n threads that do the same; each gets its number.
template <std::size_t n, class Function>
void crowd(Function function) {
  if constexpr (n > 0) {
    thread t("t", [&] { function(std::size_t{n - 1}); });
    crowd<n - 1>(function);
  }
}

// --- What a load before a loop reads ---

TEST(regress_spin, a_load_before_it_may_read_what_came_later) {
  const outcomes seen = outcomes_of([] {
    atomic<int> x{0}, y{0};
    value r = 0;
    together([&] { x.store(1, mo::relaxed); },
             [&] {
               r = x.load(mo::relaxed);
               while (y.load(mo::relaxed) != 1) spin_pause();
             },
             [&] { y.store(1, mo::relaxed); });
    observe(r);
  });
  EXPECT_EQ(seen, (outcomes{{0}, {1}}));
}
TEST(regress_spin, a_load_of_the_same_word_before_it_may_be_older) {
  const outcomes seen = outcomes_of([] {
    atomic<int> x{0};
    value r = 0;
    together([&] { x.store(1, mo::relaxed), x.store(2, mo::relaxed); },
             [&] {
               r = x.load(mo::relaxed);
               while (x.load(mo::relaxed) != 2) spin_pause();
             });
    observe(r);
  });
  EXPECT_EQ(seen, (outcomes{{0}, {1}, {2}}));
}
TEST(regress_spin, two_loads_before_it_read_in_every_order) {
  const outcomes seen = outcomes_of([] {
    atomic<int> x{0}, y{0}, go{0};
    value r = 0, s = 0;
    together([&] { x.store(1, mo::relaxed); }, [&] { y.store(1, mo::relaxed); },
             [&] {
               r = x.load(mo::relaxed), s = y.load(mo::relaxed);
               while (go.load(mo::relaxed) == 0) spin_pause();
             },
             [&] { go.store(1, mo::relaxed); });
    observe(r, s);
  });
  EXPECT_EQ(seen, (outcomes{{0, 0}, {0, 1}, {1, 0}, {1, 1}}));
}

// --- Spins on more than one word ---

TEST(regress_spin, on_two_words_ends_by_each) {
  const auto ends = [](std::memory_order order) {
    return outcomes_of([=] {
      atomic<int> x{0}, y{0};
      value a = 0, b = 0;
      together(
          [&] {
            while ((a = x.load(order)) != 1 && (b = y.load(order)) != 2) spin_pause();
          },
          [&] { x.store(1, order == mo::acquire ? mo::release : order); },
          [&] { y.store(2, order == mo::acquire ? mo::release : order); });
      observe(a, b);
    });
  };
  // How often b was read before is no outcome: it is 0 until the loop ends by it.
  const outcomes all{{1, 0}, {0, 2}};
  EXPECT_EQ(ends(mo::relaxed), all);
  EXPECT_EQ(ends(mo::acquire), all);
  EXPECT_EQ(ends(mo::seq_cst), all);
}
TEST(regress_spin, on_two_words_of_one_writer_may_see_the_second_first) {
  const outcomes seen = outcomes_of([] {
    atomic<int> x{0}, y{0};
    value a = 0, b = 0;
    together([&] { x.store(1, mo::relaxed), y.store(2, mo::relaxed); },
             [&] {
               for (;;) {
                 a = x.load(mo::relaxed), b = y.load(mo::relaxed);
                 if (a == 1 || b == 2) break;
                 spin_pause();
               }
             });
    observe(a, b);
  });
  EXPECT_EQ(seen, (outcomes{{1, 0}, {0, 2}, {1, 2}}));
}
TEST(regress_spin, of_petersons_lock_lets_each_be_first) {
  const outcomes seen = outcomes_of([] {
    atomic<int> wants[2];
    atomic<int> turn{0};
    cell<int> n{0};
    value rank[2] = {};
    const auto enter = [&](int me) {
      wants[me].store(1, mo::seq_cst);
      turn.store(1 - me, mo::seq_cst);
      while (wants[1 - me].load(mo::seq_cst) != 0 && turn.load(mo::seq_cst) != me) spin_pause();
      n.set(n.get() + 1);
      rank[me] = n.get();
      wants[me].store(0, mo::seq_cst);
    };
    together([&] { enter(0); }, [&] { enter(1); });
    observe(rank[0], rank[1]);
  });
  EXPECT_EQ(seen, (outcomes{{1, 2}, {2, 1}}));
}

// --- Livelocks ---

TEST(regress_livelock, behind_a_guard_is_found) {
  expect_found(failure::livelock, [] {
    atomic<int> x{0};
    together([&] { x.store(1, mo::relaxed); },
             [&] {
               if (x.load(mo::relaxed) == 0) {
                 while (x.load(mo::relaxed) != 5) spin_pause();
               }
             });
  });
}
TEST(regress_livelock, behind_a_guard_of_another_word_is_found) {
  expect_found(failure::livelock, [] {
    atomic<int> x{0}, y{0};
    together([&] { y.store(1, mo::relaxed), x.store(1, mo::relaxed); },
             [&] {
               if (x.load(mo::relaxed) == 1 && y.load(mo::relaxed) == 0) {
                 while (y.load(mo::relaxed) != 5) spin_pause();
               }
             });
  });
}
TEST(regress_livelock, of_two_that_wait_for_each_other_is_found) {
  expect_found(failure::livelock, [] {
    atomic<int> x{0}, y{0};
    together(
        [&] {
          while (x.load(mo::acquire) == 0) spin_pause();
          y.store(1, mo::release);
        },
        [&] {
          while (y.load(mo::acquire) == 0) spin_pause();
          x.store(1, mo::release);
        });
  });
}
TEST(regress_livelock, of_an_exchange_that_never_gets_the_lock_is_found) {
  expect_found(failure::livelock, [] {
    atomic<int> lock{0};
    const auto enter = [&] {
      while (lock.exchange(1, mo::acquire) != 0) spin_pause();
    };
    together(enter, enter);  // and nobody leaves
  });
}
// Others may read what a thread writes that finds the lock taken, before the search knows that this
// thread is where it was.
TEST(regress_livelock, of_exchanges_whose_writes_another_thread_reads_is_found) {
  expect_found(failure::livelock, [] {
    atomic<int> lock{0};
    const auto enter = [&] {
      while (lock.exchange(1, mo::release) == 1) spin_pause();
    };
    together(
        enter, [&] { lock.store(2, mo::relaxed); },
        [&] { static_cast<void>(lock.load(mo::relaxed)); }, enter);
  });
}
TEST(regress_livelock, is_not_seen_where_a_stale_load_alone_keeps_a_thread_waiting) {
  EXPECT_EQ(outcomes_of([] {
              atomic<int> x{0}, y{0};
              together([&] { x.store(1, mo::relaxed); },
                       [&] {
                         while (x.load(mo::relaxed) == 0) {
                         }
                         y.store(1, mo::relaxed);
                       },
                       [&] {
                         while (y.load(mo::relaxed) == 0) spin_pause();
                       });
              observe(1);
            }),
            (outcomes{{1}}));
}

// --- Loops that count ---

template <class Slow>
void spin_twice(const atomic<int>& x, Slow slow) {
  for (int i = 0; i < 2; ++i) {
    if (x.load(mo::acquire) != 0) return;
    spin_pause();
  }
  slow();
}
TEST(regress_bounded_spin, comes_to_its_end) {
  EXPECT_EQ(outcomes_of([] {
              atomic<int> x{0};
              value slow = 0;
              together([&] { x.store(1, mo::release); }, [&] { spin_twice(x, [&] { slow = 1; }); });
              observe(slow);
            }),
            (outcomes{{0}, {1}}));
}
TEST(regress_bounded_spin, alone_is_no_livelock) {
  EXPECT_EQ(outcomes_of([] {
              atomic<int> x{0};
              value slow = 0;
              spin_twice(x, [&] { slow = 1; });
              observe(slow);
            }),
            (outcomes{{1}}));
}
TEST(regress_bounded_spin, may_count_outside_of_its_stack) {
  EXPECT_EQ(outcomes_of([] {
              atomic<int> x{0};
              value turns = 0;  // of the main thread
              together([&] { x.store(1, mo::release); },
                       [&] {
                         while (x.load(mo::acquire) == 0 && turns < 3) {
                           ++turns;
                           spin_pause();
                         }
                       });
              observe(turns);
            }),
            (outcomes{{0}, {1}, {2}, {3}}));
}
int turns_of_all = 0;
TEST(regress_bounded_spin, may_count_in_static_data_and_on_the_heap) {
  EXPECT_EQ(outcomes_of([] {
              atomic<int> x{0};
              const auto mine = std::make_unique<cell<int>>(0);
              together([&] { x.store(1, mo::release); },
                       [&] {
                         while (x.load(mo::acquire) == 0 && ++turns_of_all < 3) {
                           mine->set(mine->get() + 1);
                         }
                       });
              observe(mine->get());
            }),
            (outcomes{{0}, {1}, {2}}));
  EXPECT_EQ(turns_of_all, 0);
}
TEST(regress_bounded_spin, hides_no_race_behind_its_end) {
  expect_found(failure::data_race, [] {
    atomic<int> x{0};
    cell<int> data{0};
    together([&] { data.set(1), x.store(1, mo::release); },
             [&] {
               spin_twice(x, [] {});
               static_cast<void>(data.get());  // also where it gave up waiting
             });
  });
}
TEST(regress_bounded_spin, then_sleeps_as_locks_do) {
  EXPECT_EQ(outcomes_of([] {
              atomic<std::uint32_t> word{0};
              value slept = 0;
              together(
                  [&] {
                    for (int i = 0; i < 2; ++i) {
                      if (word.load(mo::acquire) != 0) return;
                      spin_pause();
                    }
                    slept = 1;
                    while (word.load(mo::acquire) == 0) futex_wait(word, 0, no_deadline);
                  },
                  [&] { word.store(1, mo::release), futex_wake_all(word); });
              observe(slept);
            }),
            (outcomes{{0}, {1}}));
}

// What the main thread has learned when it started the last of its threads, and what that thread
// has learned when it begins, are two things: both do the same from then on, and the main thread is
// further on in its events. Three contenders for a lock whose holders sleep on its word.
void lock_word_that_sleeps(atomic<std::uint32_t>& word) {
  std::uint32_t is_free = 0;
  if (word.compare_exchange(is_free, 1, mo::acquire, mo::relaxed)) return;
  while (word.exchange(2, mo::acquire) != 0) futex_wait(word, 2, no_deadline);
}
void unlock_word_that_sleeps(atomic<std::uint32_t>& word) {
  if (word.exchange(0, mo::release) == 2) futex_wake_all(word);
}
TEST(regress_sleeping_lock, of_three_contenders_is_no_livelock) {
  const outcomes seen = outcomes_of([] {
    atomic<std::uint32_t> word{0};
    cell<int> inside{0};
    value order = 0;
    const auto work = [&](value who) {
      lock_word_that_sleeps(word);
      inside.set(inside.get() + 1);
      order = order * 10 + who;
      unlock_word_that_sleeps(word);
    };
    {
      thread first("first", [&] { work(1); });
      thread second("second", [&] { work(2); });
      work(3);
    }
    LAB_CHECK(inside.get() == 3);
    observe(order);
  });
  EXPECT_EQ(seen, (outcomes{{123}, {132}, {213}, {231}, {312}, {321}}));
}
// The same, where nobody wakes: each search finds it.
TEST(regress_sleeping_lock, that_wakes_nobody_is_a_lost_wakeup) {
  expect_found(failure::lost_wakeup, [] {
    atomic<std::uint32_t> word{0};
    const auto work = [&] {
      lock_word_that_sleeps(word);
      word.store(0, mo::release);
    };
    thread first("first", work);
    thread second("second", work);
    work();
  });
}

// A loop whose turns are all different, for ever: not all of it can be explored, and that is said.
// What a thread reads of plain data behind its load belongs to the turn: it is a turn with these
// data alone.
TEST(regress_spin, that_reads_plain_data_in_each_turn_ends) {
  const outcomes seen = outcomes_of([] {
    atomic<int> x{0};
    cell<int> enough;
    enough.set(2);
    value r = 0;
    together([&] { x.store(1, mo::relaxed), x.store(2, mo::relaxed); },
             [&] {
               while (x.load(mo::relaxed) < enough.get()) spin_pause();
               r = 1;
             });
    observe(r);
  });
  EXPECT_EQ(seen, (outcomes{{1}}));
}
TEST(regress_spin, that_reads_what_was_published_ends_with_it) {
  const outcomes seen = outcomes_of([] {
    atomic<int> stage{0};
    cell<int> first, second;
    value r = 0;
    together(
        [&] {
          first.set(7), stage.store(1, mo::release);
          second.set(8), stage.store(2, mo::release);
        },
        [&] {
          for (int now = 0; now < 2; spin_pause()) {
            now = stage.load(mo::acquire);
            if (now > 0) r = first.get();
            if (now > 1) r += second.get();
          }
        });
    observe(r);
  });
  EXPECT_EQ(seen, (outcomes{{15}}));
}
TEST(regress_livelock, of_a_spin_that_reads_plain_data_is_found) {
  expect_found(failure::livelock, [] {
    atomic<int> x{0};
    cell<int> enough;
    enough.set(3);
    together([&] { x.store(1, mo::relaxed); },
             [&] {
               while (x.load(mo::relaxed) < enough.get()) spin_pause();
             });
  });
}
// The turn ends in the very state that it began in, so that it need not stay; it alone meets what
// the other thread does. With is_raw the data are accessed as those of programs are.
struct plain_word {
  cell<int> data;
  const int raw = 0;
  const bool is_raw;
  explicit plain_word(bool raw_word) : is_raw(raw_word) {}
  void access(bool writes) {
    if (!is_raw) {
      writes ? data.set(0) : static_cast<void>(data.get());
      return;
    }
    const mode::outside_scope outside;
    const auto here = std::source_location::current();
    writes ? mode::running->raw_write(&raw, sizeof raw, here)
           : mode::running->raw_read(&raw, sizeof raw, false, here);
  }
};
[[gnu::noinline]] bool looks(const atomic<int>& x, plain_word& word, bool writes) {
  if (x.load(mo::relaxed) == 1) return true;
  word.access(writes);
  return false;
}
TEST(regress_spin, hides_no_race_of_a_turn_in_vain) {
  for (const bool is_raw : {false, true}) {
    for (const bool writes : {false, true}) {
      settings with;
      with.is_program = is_raw;
      expect_found(
          failure::data_race,
          [=] {
            atomic<int> x{0};
            plain_word word(is_raw);
            together(
                [&] {
                  while (!looks(x, word, writes)) spin_pause();
                },
                [&] { word.access(!writes), x.store(1, mo::relaxed); });
          },
          with);
    }
  }
}
TEST(regress_unbounded_spin, that_counts_is_not_called_exhaustive) {
  const report r = explored([] {
    atomic<int> x{0};
    value turns = 0;
    together([&] { x.store(1, mo::relaxed); },
             [&] {
               while (x.load(mo::relaxed) == 0) ++turns;
             });
    observe(turns != 0);
  });
  EXPECT_TRUE(r.is_safe()) << r;
  EXPECT_FALSE(r.is_exhaustive()) << r;
  EXPECT_EQ(r.outcomes.size(), 2U);
}

// --- Compare-exchanges that fail ---

TEST(regress_retry, a_failure_that_is_looked_at_is_seen) {
  const outcomes seen = outcomes_of([] {
    atomic<int> x{0}, y{0};
    value then = -1;
    together([&] { y.store(1, mo::relaxed), x.store(5, mo::relaxed); },
             [&] {
               int old = x.load(mo::relaxed);
               while (!x.compare_exchange_weak(old, old + 10, mo::relaxed, mo::relaxed)) {
                 then = y.load(mo::relaxed);
               }
             });
    observe(x.load(mo::relaxed), then >= 0);
  });
  EXPECT_THAT(seen, Contains(std::vector<value>{15, 1}));
  EXPECT_THAT(seen, Contains(std::vector<value>{15, 0}));
  EXPECT_THAT(seen, Contains(std::vector<value>{5, 0}));
}
TEST(regress_retry, failures_are_counted) {
  const auto count = [](int tries) {
    return outcomes_of([=] {
      atomic<int> x{0};
      value failures = 0, won = 0;
      together([&] { x.store(1, mo::relaxed), x.store(2, mo::relaxed); },
               [&] {
                 int old = x.load(mo::relaxed);
                 for (int i = 0; i < tries && won == 0; ++i) {
                   if (x.compare_exchange_weak(old, 9, mo::relaxed, mo::relaxed)) {
                     won = 1;
                   } else {
                     ++failures;
                   }
                 }
               });
      observe(failures, won);
    });
  };
  EXPECT_EQ(count(1), (outcomes{{0, 1}, {1, 0}}));
  EXPECT_EQ(count(2), (outcomes{{0, 1}, {1, 1}, {2, 0}}));
  EXPECT_EQ(count(3), (outcomes{{0, 1}, {1, 1}, {2, 1}, {3, 0}}));
}
bool try_lock(atomic<int>& lock) {
  int free = 0;
  return lock.compare_exchange_weak(free, 1, mo::acquire, mo::relaxed);
}
TEST(regress_retry, a_helper_that_tries_once_is_no_loop_though_its_place_is_the_same) {
  const outcomes seen = outcomes_of([] {
    atomic<int> first{0}, second{0};
    value got = 0;
    together([&] { static_cast<void>(try_lock(first)); },
             [&] {
               got = 1;
               if (!try_lock(first) && !try_lock(second)) got = 2;
               if (!try_lock(first)) got += 10;
             });
    observe(got);
  });
  EXPECT_THAT(seen, Contains(std::vector<value>{1}));
  EXPECT_THAT(seen, Contains(std::vector<value>{2}));  // both failed for no reason, then one won
  EXPECT_THAT(seen, Contains(std::vector<value>{11}));
  EXPECT_THAT(seen, Contains(std::vector<value>{12}));
}
TEST(regress_retry, values_that_come_back_are_seen) {
  const outcomes seen = outcomes_of([] {
    atomic<int> x{1};
    value failed_with = 0;
    together([&] { x.store(10, mo::relaxed), x.store(1, mo::relaxed); },
             [&] {
               int old = x.load(mo::relaxed);
               while (!x.compare_exchange_weak(old, 7, mo::relaxed, mo::relaxed)) {
                 if (old == 10) failed_with = old;
               }
             });
    observe(failed_with, x.load(mo::relaxed));
  });
  EXPECT_EQ(seen, (outcomes{{0, 7}, {0, 1}, {10, 7}, {10, 1}}));
}
TEST(regress_retry, a_race_behind_a_failure_is_found) {
  expect_found(failure::data_race, [] {
    atomic<int> x{0};
    cell<int> data{0};
    together([&] { data.set(1), x.store(1, mo::relaxed); },
             [&] {
               int old = x.load(mo::acquire);
               while (old < 2 && !x.compare_exchange_weak(old, 2, mo::relaxed, mo::relaxed)) {
                 static_cast<void>(data.get());
               }
             });
  });
}
TEST(regress_retry, a_load_that_orders_more_than_the_failure_is_not_taken_for_it) {
  // The failing compare-exchange does not acquire: what it leads to may read old data.
  expect_found(failure::check_failed, [] {
    atomic<int> x{0}, data{0};
    together([&] { data.store(1, mo::relaxed), x.store(1, mo::release); },
             [&] {
               int old = x.load(mo::acquire);
               while (!x.compare_exchange_weak(old, old + 10, mo::relaxed, mo::relaxed)) {
               }
               if (old == 1) LAB_CHECK(data.load(mo::relaxed) == 1);
             });
  });
}

// --- Failures for no reason ---

TEST(regress_weak_compare_exchange, may_fail_for_no_reason) {
  const auto once = [](bool weak) {
    return outcomes_of([=] {
      atomic<int> x{0};
      int expected = 0;
      const bool won = weak ? x.compare_exchange_weak(expected, 1, mo::relaxed, mo::relaxed)
                            : x.compare_exchange(expected, 1, mo::relaxed, mo::relaxed);
      observe(won, expected, x.load(mo::relaxed));
    });
  };
  EXPECT_EQ(once(true), (outcomes{{1, 0, 1}, {0, 0, 0}}));
  EXPECT_EQ(once(false), (outcomes{{1, 0, 1}}));
}
TEST(regress_weak_compare_exchange, that_fails_orders_as_a_failure_does) {
  const outcomes seen = outcomes_of([] {
    atomic<int> data{0}, flag{0};
    value won = 0, b = 0;
    together([&] { data.store(1, mo::relaxed), flag.store(1, mo::release); },
             [&] {
               int one = 1;
               won = flag.compare_exchange_weak(one, 2, mo::acquire, mo::relaxed) ? 1 : 10 + one;
               b = data.load(mo::relaxed);
             });
    observe(won, b);
  });
  EXPECT_EQ(seen, (outcomes{{1, 1}, {11, 0}, {11, 1}, {10, 0}, {10, 1}}));
}
TEST(regress_weak_compare_exchange, one_failure_too_many_is_found) {
  expect_found(failure::check_failed, [] {
    atomic<int> x{0};
    int expected = 0;
    LAB_CHECK(x.compare_exchange_weak(expected, 1, mo::relaxed, mo::relaxed));
  });
}

// --- Busy waits ---

template <class Wait>
void hand_over(Wait wait) {
  atomic<int> lock{1};
  cell<int> data{0};
  together([&] { data.set(1), lock.store(0, mo::release); },
           [&] {
             wait(lock);
             LAB_CHECK(data.get() == 1);
           });
  observe(1);
}
TEST(regress_busy_wait, without_a_pause_ends) {
  EXPECT_EQ(outcomes_of([] {
              hand_over([](atomic<int>& l) {
                while (l.load(mo::acquire) != 0) {
                }
              });
            }),
            (outcomes{{1}}));
}
TEST(regress_busy_wait, by_exchange_ends) {
  EXPECT_EQ(outcomes_of([] {
              hand_over([](atomic<int>& l) {
                while (l.exchange(1, mo::acquire) != 0) {
                }
              });
            }),
            (outcomes{{1}}));
  EXPECT_EQ(outcomes_of([] {
              hand_over([](atomic<int>& l) {
                while (l.exchange(1, mo::acquire) != 0) spin_pause();
              });
            }),
            (outcomes{{1}}));
}
TEST(regress_busy_wait, by_other_read_modify_writes_ends) {
  EXPECT_EQ(outcomes_of([] {
              hand_over([](atomic<int>& l) {
                while ((l.fetch_or(1, mo::acquire) & 1) != 0) {
                }
              });
            }),
            (outcomes{{1}}));
  EXPECT_EQ(outcomes_of([] {
              hand_over([](atomic<int>& l) {
                int free = 0;
                while (!l.compare_exchange(free, 1, mo::acquire, mo::relaxed)) free = 0;
              });
            }),
            (outcomes{{1}}));
  EXPECT_EQ(outcomes_of([] {
              hand_over([](atomic<int>& l) {
                while (l.fetch_add(0, mo::acquire) != 0) {
                }
              });
            }),
            (outcomes{{1}}));
}
TEST(regress_busy_wait, with_a_fence_in_it_ends) {
  EXPECT_EQ(outcomes_of([] {
              hand_over([](atomic<int>& l) {
                do {
                } while (l.load(mo::relaxed) != 0);
                thread_fence(mo::acquire);
              });
            }),
            (outcomes{{1}}));
  EXPECT_EQ(outcomes_of([] {
              hand_over([](atomic<int>& l) {
                for (;;) {
                  const int v = l.load(mo::relaxed);
                  thread_fence(mo::acquire);
                  if (v == 0) break;
                }
              });
            }),
            (outcomes{{1}}));
}
TEST(regress_busy_wait, of_two_that_take_turns_ends) {
  EXPECT_EQ(outcomes_of([] {
              atomic<int> turn{0};
              const auto play = [&](int me) {
                for (int i = 0; i < 2; ++i) {
                  while (turn.load(mo::acquire) % 2 != me) {
                  }
                  turn.fetch_add(1, mo::release);
                }
              };
              together([&] { play(0); }, [&] { play(1); });
              observe(turn.load(mo::relaxed));
            }),
            (outcomes{{4}}));
}

// --- What traces tell ---

TEST(regress_trace, a_read_is_not_the_last_only_if_a_newer_store_stands_above_it) {
  settings with;
  with.how = search::exhaustive;
  const auto steps_of = [&](const std::function<void()>& body) {
    return explore(body, with).interleaving;
  };
  // Each read-modify-write reads the last store there is, though its own comes next.
  EXPECT_THAT(steps_of([] {
                atomic<int> x{0};
                x.fetch_add(1, mo::relaxed);
                x.fetch_add(1, mo::relaxed);
                const int seen = x.load(mo::relaxed);
                x.store(9, mo::relaxed);
                LAB_CHECK(seen == 0);
              }),
              Not(HasSubstr("not the last")));
  with.skip_retries = false;
  const std::string missed = steps_of([] {
    atomic<int> data{0}, flag{0};
    together([&] { data.store(1, mo::relaxed), flag.store(1, mo::relaxed); },
             [&] {
               if (flag.load(mo::relaxed) == 1) LAB_CHECK(data.load(mo::relaxed) == 1);
             });
  });
  EXPECT_THAT(missed, HasSubstr("(the first value, not the last)"));
}

// --- How many executions there are ---

struct count {
  std::uint64_t executions;
  std::uint64_t blocked;
};
count count_of(const std::function<void()>& body) {
  const report r = explored(body);
  EXPECT_TRUE(r.is_safe()) << r;
  EXPECT_TRUE(r.is_exhaustive()) << r;
  std::cout << "[ EXPLORED ] " << r << "\n";
  return {r.executions, r.blocked};
}

template <std::size_t n>
void take_tickets() {
  atomic<int> next{0}, serving{0};
  cell<int> inside{0};
  crowd<n>([&](std::size_t) {
    const int mine = next.fetch_add(1, mo::relaxed);
    while (serving.load(mo::acquire) != mine) spin_pause();
    inside.set(inside.get() + 1);
    serving.store(mine + 1, mo::release);
  });
}
TEST(reduction, of_a_ticket_lock_leaves_the_orders_of_the_tickets) {
  EXPECT_EQ(count_of(take_tickets<2>).executions, 2U);
  EXPECT_EQ(count_of(take_tickets<3>).executions, 6U);
  EXPECT_EQ(count_of(take_tickets<4>).executions, 24U);
}
template <std::size_t n>
void test_and_set() {
  atomic<int> lock{0};
  cell<int> inside{0};
  crowd<n>([&](std::size_t) {
    do {
      while (lock.load(mo::relaxed) != 0) spin_pause();
    } while (lock.exchange(1, mo::acquire) != 0);
    inside.set(inside.get() + 1);
    lock.store(0, mo::release);
  });
}
TEST(reduction, of_a_test_and_set_lock_leaves_what_the_last_test_saw) {
  EXPECT_EQ(count_of(test_and_set<2>).executions, 4U);
  EXPECT_EQ(count_of(test_and_set<3>).executions, 36U);
  EXPECT_EQ(count_of(test_and_set<4>).executions, 576U);
}
// What the waiting thread writes in vain may be read before by the one that opens: no execution of
// its own.
TEST(reduction, of_an_exchange_that_waits_leaves_where_it_ends) {
  const count c = count_of([] {
    atomic<int> lock{1};
    together([&] { static_cast<void>(lock.load(mo::relaxed)), lock.exchange(0, mo::release); },
             [&] {
               while (lock.exchange(1, mo::acquire) == 1) {
               }
             });
  });
  EXPECT_EQ(c.executions, 1U);
  EXPECT_EQ(c.blocked, 0U);
}
template <std::size_t n>
void exchange_lock() {
  atomic<int> lock{0};
  cell<int> inside{0};
  crowd<n>([&](std::size_t) {
    while (lock.exchange(1, mo::acquire) != 0) {
    }
    inside.set(inside.get() + 1);
    lock.store(0, mo::release);
  });
}
TEST(reduction, of_a_lock_by_exchange_leaves_the_orders_of_its_owners) {
  EXPECT_EQ(count_of(exchange_lock<2>).executions, 2U);
  EXPECT_EQ(count_of(exchange_lock<3>).executions, 6U);
}
struct node {
  cell<node*> next{nullptr};
};
template <std::size_t n>
void push_all() {
  atomic<node*> top{nullptr};
  node nodes[n];
  crowd<n>([&](std::size_t i) {
    node* old = top.load(mo::relaxed);
    do nodes[i].next.set(old);
    while (!top.compare_exchange_weak(old, &nodes[i], mo::release, mo::relaxed));
  });
}
TEST(reduction, of_a_stack_leaves_the_orders_of_the_pushes) {
  EXPECT_EQ(count_of(push_all<2>).executions, 2U);
  EXPECT_EQ(count_of(push_all<3>).executions, 6U);
  EXPECT_EQ(count_of(push_all<4>).executions, 24U);
}
template <std::size_t n>
void lock_twice() {
  mutex lock{lock_rank::leaf};
  crowd<n>([&](std::size_t) {
    for (int i = 0; i < 2; ++i) {
      lock.lock();
      lock.unlock();
    }
  });
}
TEST(reduction, of_a_mutex_leaves_the_orders_of_its_owners) {
  EXPECT_EQ(count_of(lock_twice<2>).executions, 6U);
  EXPECT_EQ(count_of(lock_twice<3>).executions, 90U);
  EXPECT_EQ(count_of(lock_twice<4>).executions, 2520U);
}
// Each stores its own and looks at the next one's: all but one of the 2^n outcomes.
template <std::size_t n>
void buffer_stores(bool by_fences) {
  atomic<int> all[n]{};
  crowd<n>([&](std::size_t i) {
    const std::memory_order order = by_fences ? mo::relaxed : mo::seq_cst;
    all[i].store(1, order);
    if (by_fences) thread_fence(mo::seq_cst);
    static_cast<void>(all[(i + 1) % n].load(order));
  });
}
TEST(reduction, of_store_buffering_is_the_same_by_fences_and_by_accesses) {
  for (const bool by_fences : {false, true}) {
    EXPECT_EQ(count_of([=] { buffer_stores<3>(by_fences); }).executions, 7U);
    EXPECT_EQ(count_of([=] { buffer_stores<5>(by_fences); }).executions, 31U);
  }
}

}  // namespace
}  // namespace ufence::lab
