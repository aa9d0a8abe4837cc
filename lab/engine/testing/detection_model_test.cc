// What the explorer must find: algorithms that are broken on purpose, each beside one that is
// right.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lab/engine/explore.h"
#include "lab/engine/scenario.h"
#include "ufence/base/alloc.h"
#include "ufence/base/atomic.h"
#include "ufence/base/check.h"
#include "ufence/base/clock.h"
#include "ufence/base/futex.h"
#include "ufence/base/lock.h"
#include "ufence/base/tls.h"

namespace ufence::lab {
namespace {

using testing::HasSubstr;

settings by(search how) {
  settings with;
  with.how = how;
  with.random_executions = 20'000;
  return with;
}

// Safe, by each search; the exhaustive one comes to an end.
void expect_safe(const std::function<void()>& body, settings with = {}) {
  with.how = search::exhaustive;
  const report r = explore(body, with);
  EXPECT_TRUE(r.is_safe()) << r;
  EXPECT_TRUE(r.is_exhaustive()) << r;
  EXPECT_GT(r.executions, 0U);
  with.how = search::random;
  with.random_executions = 2'000;
  EXPECT_TRUE(explore(body, with).is_safe());
}

// Found by each search, shown, and repeated by its trace.
void expect_found(failure what, const std::function<void()>& body, settings with = {}) {
  for (const search how : {search::exhaustive, search::bounded, search::random}) {
    with.how = how;
    with.skip_retries = how != search::exhaustive;  // without: no random executions come first
    with.replay.clear();
    const report r = explore(body, with);
    EXPECT_EQ(r.found.kind, what) << to_string(how) << ": " << r;
    EXPECT_THAT(r.found.text, testing::Not(HasSubstr("not repeated")));
    EXPECT_FALSE(r.interleaving.empty());
    with.replay = r.trace;
    const report again = explore(body, with);
    EXPECT_EQ(again.found.kind, what) << again;
    EXPECT_EQ(again.interleaving, r.interleaving);
  }
}

// --- Data races and lifetime ---

void publish(std::memory_order order) {
  cell<int> data{0};
  atomic<bool> ready{false};
  thread writer("writer", [&] { data.set(1), ready.store(true, order); });
  thread reader("reader", [&] {
    if (ready.load(mo::acquire)) LAB_CHECK(data.get() == 1);
  });
}
TEST(data_race, is_found_where_nothing_orders) {
  expect_safe([] { publish(mo::release); });
  expect_found(failure::data_race, [] { publish(mo::relaxed); });
}
TEST(data_race, is_found_between_two_writers) {
  expect_found(failure::data_race, [] {
    cell<int> data{0};
    thread a("a", [&] { data.set(1); });
    thread b("b", [&] { data.set(2); });
  });
}
TEST(data_race, is_found_between_an_object_and_its_construction) {
  const auto publish_object = [](std::memory_order order) {
    atomic<atomic<int>*> slot{nullptr};
    thread a("a", [&] { slot.store(new atomic<int>(7), order); });
    thread b("b", [&] {
      if (atomic<int>* x = slot.load(mo::acquire)) LAB_CHECK(x->load(mo::relaxed) == 7);
    });
    a.join();
    b.join();
    delete slot.load(mo::relaxed);
  };
  expect_safe([=] { publish_object(mo::release); });
  expect_found(failure::data_race, [=] { publish_object(mo::relaxed); });
}
TEST(data_race, is_found_between_an_allocation_and_who_frees_it) {
  const auto hand_over = [](std::memory_order order) {
    atomic<int*> slot{nullptr};
    thread a("a", [&] { slot.store(new int(7), mo::release); });
    thread b("b", [&] { delete slot.exchange(nullptr, order); });
    a.join();
    b.join();
    delete slot.load(mo::relaxed);
  };
  expect_safe([=] { hand_over(mo::acquire); });
  expect_found(failure::data_race, [=] { hand_over(mo::relaxed); });
}
TEST(data_race, is_not_seen_in_what_one_thread_does) {
  expect_safe([] {
    cell<int> data{0};
    data.set(1);
    LAB_CHECK(data.get() == 1);
    {
      thread a("a", [&] { data.set(2); });
    }
    LAB_CHECK(data.get() == 2);
  });
}

struct counted {
  atomic<int> references{2};
  cell<int> value{0};
};
void count_down(std::memory_order order) {
  auto* object = new counted;
  const auto drop = [object, order](int v) {
    if (v != 0) object->value.set(v);
    if (object->references.fetch_sub(1, order) == 1) delete object;
  };
  thread a("a", [&] { drop(1); });
  thread b("b", [&] { drop(0); });
}
TEST(use_after_free, is_found_if_the_last_reference_does_not_acquire) {
  expect_safe([] { count_down(mo::acq_rel); });
  expect_found(failure::use_after_free, [] { count_down(mo::release); });
  expect_found(failure::use_after_free, [] { count_down(mo::relaxed); });
}
TEST(use_after_free, is_found_after_the_free) {
  expect_found(failure::use_after_free, [] {
    auto* x = new atomic<int>(0);
    atomic<bool> gone{false};
    thread a("a", [&] { delete x, gone.store(true, mo::release); });
    thread b("b", [&] {
      if (gone.load(mo::acquire)) x->store(1, mo::relaxed);
    });
  });
}
TEST(use_after_free, is_found_in_a_frame_that_has_returned) {
  expect_found(failure::use_after_free, [] {
    atomic<atomic<int>*> slot{nullptr};
    thread a("a", [&] {
      atomic<int> mine{0};
      slot.store(&mine, mo::release);
    });
    thread b("b", [&] {
      if (atomic<int>* x = slot.load(mo::acquire)) x->store(1, mo::relaxed);
    });
  });
}
TEST(use_after_free, is_found_in_memory_that_was_given_back) {
  const auto reuse = [](bool early) {
    auto* x = static_cast<atomic<int>*>(allocate_pages(64));
    atomic<bool> done{false};
    thread a("a", [&] { x->store(1, mo::relaxed), done.store(true, mo::release); });
    thread b("b", [&] {
      if (!early) await(done, true, true, mo::acquire);
      poison(x, 64);
      unpoison(x, 64);
      x->store(2, mo::relaxed);
      poison(x, 64);
    });
  };
  expect_safe([=] { reuse(false); });
  expect_found(failure::use_after_free, [=] { reuse(true); });
}
TEST(pages, that_are_given_back_read_as_they_were_or_as_zeros) {
  bool was_seen[3] = {};
  expect_safe([&] {
    auto* x = static_cast<atomic<int>*>(allocate_pages(64));
    x->store(1, mo::relaxed);
    thread a("a", [&] {
      LAB_CHECK(give_pages_back(x, 64));
      LAB_CHECK(x->load(mo::relaxed) != 1);
      x->store(2, mo::relaxed);
    });
    thread b("b", [&] {
      const int seen = x->load(mo::relaxed);
      was_seen[seen] = true;
      const int later = x->load(mo::relaxed);
      if (seen == 0) LAB_CHECK(later != 1);
      if (seen == 2) LAB_CHECK(later == 2);
    });
  });
  EXPECT_TRUE(was_seen[0] && was_seen[1] && was_seen[2]);
}
TEST(double_free, is_found) {
  expect_found(failure::double_free, [] {
    int* x = new int(0);
    atomic<bool> gone{false};
    const auto drop = [&] {  // looks, then acts
      if (gone.load(mo::acquire)) return;
      delete x;
      gone.store(true, mo::release);
    };
    thread a("a", drop);
    thread b("b", [&] { drop(); });
  });
}
TEST(leak, is_found_at_the_end) {
  expect_found(failure::leak, [] {
    atomic<int*> slot{nullptr};
    const auto put = [&] { slot.store(new int(1), mo::release); };
    {
      thread a("a", put);
      thread b("b", put);
    }
    delete slot.load(mo::acquire);
  });
}

// --- Waiting ---

TEST(deadlock, of_two_locks_taken_crosswise_is_found) {
  const auto take_both = [](bool crosswise) {
    mutex first{lock_rank::host}, second{lock_rank::device};
    const auto take = [](mutex& x, mutex& y) {
      x.lock();
      y.lock();
      y.unlock();
      x.unlock();
    };
    thread a("a", [&] { take(first, second); });
    thread b("b", [&] { crosswise ? take(second, first) : take(first, second); });
  };
  expect_safe([=] { take_both(false); });
  if (UFENCE_DEBUG_CHECKS == 0) expect_found(failure::deadlock, [=] { take_both(true); });
}
TEST(mutex, excludes) {
  expect_safe([] {
    mutex lock{lock_rank::leaf};
    cell<int> n{0};
    const auto add = [&] {
      for (int i = 0; i < 2; ++i) {
        scoped_lock guard(lock);
        n.set(n.get() + 1);
      }
    };
    {
      thread a("a", add);
      thread b("b", add), c("c", add);
    }
    LAB_CHECK(n.get() == 6);
  });
}

// A flag with a sleeping waiter: the word is 0, or 1 if somebody sleeps, or 2 when it is set.
struct event_word {
  atomic<std::uint32_t> word{0};
  cell<int> payload{0};

  void wait() {
    for (;;) {
      std::uint32_t w = word.load(mo::acquire);
      if (w == 2) return;
      if (w == 0 && !word.compare_exchange(w, 1, mo::relaxed, mo::relaxed)) continue;
      futex_wait(word, 1, no_deadline);
    }
  }
  void set(bool wakes_always) {
    payload.set(1);
    const std::uint32_t old = word.exchange(2, mo::release);
    if (old == 1 || wakes_always) futex_wake_all(word);
  }
  void set_badly() {
    payload.set(1);
    if (word.load(mo::relaxed) == 1) {  // looks before it sets
      word.store(2, mo::release);
      futex_wake_all(word);
    } else {
      word.store(2, mo::release);
    }
  }
};
TEST(lost_wakeup, is_found_if_the_waker_looks_too_early) {
  const auto meet = [](bool badly) {
    event_word event;
    thread a("waiter", [&] { event.wait(), LAB_CHECK(event.payload.get() == 1); });
    thread b("setter", [&] { badly ? event.set_badly() : event.set(false); });
  };
  expect_safe([=] { meet(false); });
  expect_found(failure::lost_wakeup, [=] { meet(true); });
}
TEST(lost_wakeup, is_found_if_nobody_wakes) {
  expect_found(failure::lost_wakeup, [] {
    atomic<std::uint32_t> word{0};
    thread a("waiter", [&] { futex_wait(word, 0, no_deadline); });
    thread b("setter", [&] { word.store(1, mo::release); });
  });
}
TEST(lost_wakeup, is_found_if_another_class_of_sleepers_is_woken) {
  const auto wake = [](std::uint32_t whom) {
    atomic<std::uint32_t> word{0};
    thread a("waiter", [&] { futex_wait(word, 0, no_deadline, futex_class::lock); });
    thread b("setter", [&] { word.store(1, mo::release), futex_wake_all(word, whom); });
  };
  expect_safe([=] { wake(futex_class::lock); });
  expect_safe([=] { wake(futex_class::any); });
  expect_found(failure::lost_wakeup, [=] { wake(futex_class::state); });
}
TEST(lost_wakeup, is_found_where_a_deadline_alone_would_end_the_sleep) {
  const auto sleep = [] {
    atomic<std::uint32_t> word{0};
    thread a("waiter", [&] { futex_wait(word, 0, deadline_after(1000)); });
    thread b("setter", [&] { word.store(1, mo::release); });
  };
  expect_safe(sleep);
  settings with;
  with.ignore_deadlines = true;
  const report r = explore(sleep, with);
  EXPECT_EQ(r.found.kind, failure::lost_wakeup) << r;
}
// A sleep on two words; one of them is woken, both, or the other setter forgets to.
void sleep_on_two(bool wakes_first, bool wakes_second) {
  atomic<std::uint32_t> first{0}, second{0};
  thread a("waiter", [&] {
    const futex_waiter both[] = {{.word = &first, .expected = 0}, {.word = &second, .expected = 0}};
    while (first.load(mo::relaxed) == 0 && second.load(mo::relaxed) == 0) {
      LAB_CHECK(futex_wait_any(both, no_deadline) == 0);
    }
  });
  if (wakes_first) {
    thread b("first", [&] { first.store(1, mo::relaxed), futex_wake_all(first); });
  } else {
    thread c("second", [&] {
      second.store(1, mo::relaxed);
      if (wakes_second) futex_wake_all(second);
    });
  }
}
TEST(futex, a_sleep_on_several_words_is_ended_by_each) {
  settings with;
  with.has_futex_waitv = true;
  expect_safe([] { sleep_on_two(true, false); }, with);
  expect_safe([] { sleep_on_two(false, true); }, with);
  const report r = explore([] { sleep_on_two(false, false); }, with);
  EXPECT_EQ(r.found.kind, failure::lost_wakeup) << r;
}
TEST(futex, a_sleep_with_a_deadline_may_end_by_it) {
  settings with;
  with.explore_timeouts = true;
  with.how = search::exhaustive;
  const report r = explore(
      [] {
        atomic<std::uint32_t> word{0};
        std::int64_t result = 1, late = 0;
        {
          thread a("waiter", [&] {
            const std::int64_t deadline = deadline_after(1000);
            result = futex_wait(word, 0, deadline);
            late = now_ns() >= deadline;
          });
          thread b("setter", [&] { word.store(1, mo::release), futex_wake_all(word); });
        }
        observe(result, late);
      },
      with);
  EXPECT_TRUE(r.is_safe()) << r;
  EXPECT_EQ(r.outcomes.size(), 2U);
  EXPECT_EQ(r.outcomes.count({0, 0}), 1U);
  EXPECT_EQ(r.outcomes.count({-ETIME, 1}), 1U);
}
TEST(livelock, of_a_spin_for_what_never_comes_is_found) {
  expect_found(failure::livelock, [] {
    atomic<int> turn{0};
    thread a("a", [&] {
      while (turn.load(mo::relaxed) != 2) spin_pause();
    });
    thread b("b", [&] { turn.store(1, mo::relaxed); });
  });
}
TEST(livelock, of_a_loop_without_end_is_found) {
  settings with;
  with.events_max = 300;
  with.how = search::exhaustive;
  EXPECT_EQ(explore(
                [] {
                  atomic<int> n{0};
                  for (;;) n.fetch_add(1, mo::relaxed);
                },
                with)
                .found.kind,
            failure::livelock);
}
TEST(spinning, ends_with_the_store_that_it_waits_for) {
  expect_safe([] {
    atomic<int> turn{0};
    cell<int> data{0};
    thread a("a", [&] {
      while (turn.load(mo::acquire) != 2) spin_pause();
      LAB_CHECK(data.get() == 5);
    });
    thread b("b", [&] { turn.store(1, mo::relaxed), data.set(5), turn.store(2, mo::release); });
  });
}
TEST(awaiting, is_a_loop_in_one_step) {
  expect_safe([] {
    atomic<int> turn{0};
    cell<int> data{0};
    thread a("a", [&] { await(turn, ~0, 2, mo::acquire), LAB_CHECK(data.get() == 5); });
    thread b("b", [&] { turn.store(1, mo::relaxed), data.set(5), turn.store(2, mo::release); });
  });
  expect_found(failure::deadlock, [] {
    atomic<int> turn{0};
    thread a("a", [&] { await(turn, ~0, 2, mo::acquire); });
    thread b("b", [&] { turn.store(2, mo::relaxed), turn.store(1, mo::relaxed); });
  });
}

// --- Algorithms ---

// A lock made of a compare-exchange loop.
struct spin_lock {
  atomic<std::uint32_t> word{0};
  void lock(std::memory_order order) {
    std::uint32_t free = 0;
    while (!word.compare_exchange_weak(free, 1, order, mo::relaxed)) {
      free = 0;
      spin_pause();
    }
  }
  void unlock(std::memory_order order) { word.store(0, order); }
};
void count_under_lock(std::memory_order acquire, std::memory_order release) {
  spin_lock lock;
  cell<int> n{0};
  const auto add = [&] {
    lock.lock(acquire);
    n.set(n.get() + 1);
    lock.unlock(release);
  };
  {
    thread a("a", add);
    thread b("b", add);
  }
  LAB_CHECK(n.get() == 2);
}
TEST(spin_lock, needs_acquire_and_release) {
  expect_safe([] { count_under_lock(mo::acquire, mo::release); });
  expect_found(failure::data_race, [] { count_under_lock(mo::relaxed, mo::release); });
  expect_found(failure::data_race, [] { count_under_lock(mo::acquire, mo::relaxed); });
}

// Peterson's lock for two.
void peterson(std::memory_order order) {
  atomic<int> wants[2];
  atomic<int> turn{0};
  cell<int> n{0};
  const auto enter = [&](int me) {
    wants[me].store(1, order);
    turn.store(1 - me, order);
    while (wants[1 - me].load(order) != 0 && turn.load(order) != me) spin_pause();
    n.set(n.get() + 1);
    wants[me].store(0, order == mo::seq_cst ? order : mo::release);
  };
  {
    thread a("a", [&] { enter(0); });
    thread b("b", [&] { enter(1); });
  }
  LAB_CHECK(n.get() == 2);
}
TEST(peterson, needs_seq_cst) {
  expect_safe([] { peterson(mo::seq_cst); });
  expect_found(failure::data_race, [] { peterson(mo::relaxed); });
}

// A sequence lock: its data is atomic, as readers look while it changes.
struct seq_lock {
  atomic<int> sequence{0};
  atomic<int> a{0}, b{0};

  void write(int v, std::memory_order stores) {
    const int s = sequence.load(mo::relaxed);
    sequence.store(s + 1, mo::relaxed);
    a.store(v, stores);
    b.store(v, stores);
    sequence.store(s + 2, mo::release);
  }
  bool read(int& x, int& y, std::memory_order loads) {
    const int s = sequence.load(mo::acquire);
    if (s % 2 != 0) return false;
    x = a.load(loads);
    y = b.load(loads);
    return sequence.load(mo::relaxed) == s;
  }
};
void read_pair(std::memory_order stores, std::memory_order loads) {
  seq_lock lock;
  thread writer("writer", [&] { lock.write(1, stores), lock.write(2, stores); });
  thread reader("reader", [&] {
    int x = 0, y = 0;
    if (lock.read(x, y, loads)) LAB_CHECK(x == y);
  });
}
TEST(sequence_lock, needs_ordered_data) {
  expect_safe([] { read_pair(mo::release, mo::acquire); });
  expect_found(failure::check_failed, [] { read_pair(mo::relaxed, mo::acquire); });
  expect_found(failure::check_failed, [] { read_pair(mo::release, mo::relaxed); });
}

// A stack without locks, whose nodes are freed at once: the classic use after free.
struct node {
  cell<node*> next{nullptr};
  int value = 0;
};
struct stack {
  atomic<node*> top{nullptr};
  void push(node* n) {
    node* old = top.load(mo::relaxed);
    do n->next.set(old);
    while (!top.compare_exchange_weak(old, n, mo::release, mo::relaxed));
  }
  node* pop() {
    node* old = top.load(mo::acquire);
    while (old != nullptr &&
           !top.compare_exchange_weak(old, old->next.get(), mo::acquire, mo::acquire)) {
    }
    return old;
  }
};
TEST(lock_free_stack, pushes_are_safe_and_pops_that_free_are_not) {
  expect_safe([] {
    stack s;
    node one, two, three;
    {
      thread a("a", [&] { s.push(&one); });
      thread b("b", [&] { s.push(&two), s.push(&three); });
    }
    int n = 0;
    while (s.pop() != nullptr) ++n;
    LAB_CHECK(n == 3);
  });
  expect_found(failure::use_after_free, [] {
    stack s;
    s.push(new node);
    s.push(new node);
    const auto pop = [&] { delete s.pop(); };
    thread a("a", pop);
    thread b("b", pop);
  });
}

// Two counters in one: exactly one of the threads that leave is the last.
TEST(check, that_fails_is_found_with_its_text) {
  settings with = by(search::exhaustive);
  const report r = explore(
      [] {
        atomic<int> n{2};
        atomic<int> last{0};
        const auto leave = [&] {
          if (n.fetch_sub(1, mo::relaxed) == 1) last.fetch_add(1, mo::relaxed);
        };
        {
          thread a("a", leave);
          thread b("b", leave);
        }
        LAB_CHECK(last.load(mo::relaxed) == 0);
      },
      with);
  EXPECT_EQ(r.found.kind, failure::check_failed);
  EXPECT_THAT(r.found.text, HasSubstr("last.load(mo::relaxed) == 0"));
  EXPECT_THAT(r.interleaving, HasSubstr("detection_model_test.cc:"));
}
TEST(check, of_the_product_is_found) {
  expect_found(failure::check_failed, [] {
    atomic<int> n{0};
    thread a("a", [&] { n.store(1, mo::relaxed); });
    thread b("b", [&] { UFENCE_CHECK(n.load(mo::relaxed) == 0); });
  });
}

// --- The machinery ---

struct counter_tag;
TEST(per_thread, is_separate_and_fresh_in_each_execution) {
  expect_safe([] {
    const auto count = [] { LAB_CHECK(++per_thread<counter_tag, int>::get() == 1); };
    count();
    thread a("a", count);
    thread b("b", count);
  });
}

int global_count = 0;
constinit atomic<int> global_atomic{5};
TEST(static_data, begins_each_execution_as_it_was) {
  expect_safe([] {
    LAB_CHECK(++global_count == 1);
    LAB_CHECK(global_atomic.fetch_add(1, mo::relaxed) == 5);
    thread a("a", [&] { global_atomic.fetch_add(1, mo::relaxed); });
    thread b("b", [&] { global_atomic.fetch_add(1, mo::relaxed); });
  });
  EXPECT_EQ(global_count, 0);
}
TEST(prelude, runs_once_and_what_it_leaves_is_there) {
  static std::vector<int>* kept;
  static int runs;
  settings with;
  with.prelude = [] {
    ++runs;
    kept = new std::vector<int>{1, 2, 3};
    global_atomic.store(9, mo::relaxed);
  };
  expect_safe(
      [] {
        LAB_CHECK(runs == 1);
        LAB_CHECK(kept->size() == 3 && kept->back() == 3);
        LAB_CHECK(global_atomic.load(mo::relaxed) == 9);
        kept->back() = 4;
        thread a("a", [] { global_atomic.store(1, mo::relaxed); });
      },
      with);
  global_atomic.store(5, mo::relaxed);
}
TEST(choice, explores_all) {
  settings with = by(search::exhaustive);
  const report r = explore(
      [] {
        const auto a = choose(3);
        const auto b = a == 1 ? choose(2) : 0;
        observe(a, b);
      },
      with);
  EXPECT_EQ(r.executions, 4U);
  EXPECT_EQ(r.outcomes.size(), 4U);
}
TEST(not_repeatable, is_told) {
  const auto outside = std::make_unique<int>(0);  // the explorer does not put this back
  int* counter = outside.get();
  const report r = explore(
      [counter] {
        atomic<int> x{0};
        thread a("a", [&] { x.store(1, mo::relaxed); });
        if (++*counter % 2 == 0) x.store(2, mo::relaxed);
        static_cast<void>(x.load(mo::relaxed));
      },
      [] {
        settings s = by(search::exhaustive);
        s.skip_retries = false;
        return s;
      }());
  EXPECT_EQ(r.found.kind, failure::not_repeatable);
}
TEST(weakening, of_an_order_is_noticed) {
  settings with = by(search::exhaustive);
  const auto body = [] { publish(mo::release); };
  EXPECT_TRUE(explore(body, with).is_safe());
  with.weakenings.push_back({"detection_model_test.cc", 0, 100'000, mo::relaxed});
  const report r = explore(body, with);
  EXPECT_TRUE(r.weakening_was_used);
  EXPECT_EQ(r.found.kind, failure::data_race);
}

}  // namespace
}  // namespace ufence::lab
