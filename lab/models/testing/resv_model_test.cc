// Reservation objects and their locks, explored: changes against readers without the lock.
#include "ufence/container/resv.h"

#include <memory>

#include "lab/models/testing/harness.h"
#include "ufence/rcu/rcu.h"

namespace ufence::lab {
namespace {

using ufence::detail::resv_list;
using ufence::detail::resv_slot;

constexpr auto usage = resv_usage::write;

void put(resv& object, const fence_ref& f) {
  LAB_CHECK(!object.lock());
  LAB_CHECK(!object.reserve(1));
  LAB_CHECK(!object.add(f, usage));
  object.unlock();
}

new_fence make_fence_of(std::uint64_t context, std::uint64_t seqno) {
  return fence::create(context, seqno).value();
}

// Who saw the work begin finds its fence, or the work done.
TEST(resv_model, a_reader_finds_what_was_added_before) {
  expect_safe_so_far([] {
    {
      resv object;
      new_fence old = make_fence_of(1, 1);
      new_fence made = make_fence_of(2, 1);
      put(object, old.fence);
      {
        thread add("add", [&] { put(object, made.fence); });
        thread read("read", [&] {
          const rcu::read_section section;
          resv_rcu_cursor all(object, usage);
          bool found_old = false;
          while (fence* f = all.next()) {
            LAB_CHECK(f->context() == 1 || f->context() == 2);
            found_old = found_old || f->context() == 1;
          }
          LAB_CHECK(found_old);
        });
      }
      old.signal.signal();
      made.signal.signal();
    }
    rcu::flush_deferred();
  });
}

TEST(resv_model, who_finds_a_fence_sees_what_was_written_before_it_was_added) {
  expect_safe([] {
    {
      resv object;
      new_fence old = make_fence_of(1, 1);
      new_fence made = make_fence_of(2, 1);
      cell<int> work;
      put(object, old.fence);
      {
        thread add("add", [&] { work.set(1), put(object, made.fence); });
        thread read("read", [&] {
          const rcu::read_section section;
          resv_rcu_cursor all(object, usage);
          while (const fence* f = all.next()) LAB_CHECK(f->context() == 1 || work.get() == 1);
        });
      }
      old.signal.signal();
      made.signal.signal();
    }
    rcu::flush_deferred();
  });
}

// Where there is no memory for another list: the list by itself.
TEST(resv_model, who_finds_a_fence_in_the_place_of_another_sees_what_was_written_before) {
  expect_safe([] {
    new_fence old = make_fence_of(1, 1);
    new_fence made = make_fence_of(1, 2);
    resv_list* list = resv_list::make(1);
    list->append(resv_slot(*fence_ref(old.fence).release(), usage));
    cell<int> work;
    {
      thread replace("replace", [&] {
        work.set(1);
        list->overwrite(0, resv_slot(*fence_ref(made.fence).release(), usage));
        rcu::synchronize();
        old.fence->put();
      });
      thread read("read", [&] {
        const rcu::read_section section;
        std::uint32_t at = 0;
        resv_usage found_usage{};
        const fence* f = list->next_fence(at, usage, found_usage);
        LAB_CHECK(f->seqno() == 1 || work.get() == 1);
      });
    }
    resv_list::destroy(list);
    old.signal.signal();
    made.signal.signal();
  });
}

// A fence takes the place of an earlier one of its context: a reader finds one of them.
TEST(resv_model, a_reader_finds_the_replaced_fence_or_its_successor) {
  expect_safe_so_far([] {
    {
      resv object;
      new_fence old = make_fence_of(1, 1);
      new_fence made = make_fence_of(1, 2);
      put(object, old.fence);
      {
        thread replace("replace", [&] { put(object, made.fence); });
        thread read("read", [&] {
          const rcu::read_section section;
          resv_rcu_cursor all(object, usage);
          bool found = false;
          while (fence* f = all.next()) found = found || f->context() == 1;
          LAB_CHECK(found);
        });
      }
      old.signal.signal();
      made.signal.signal();
    }
    rcu::flush_deferred();
  });
}

TEST(resv_model, a_reader_takes_references_while_lists_are_replaced_and_freed) {
  expect_safe_so_far([] {
    {
      resv object;
      new_fence old = make_fence_of(1, 1);
      new_fence made = make_fence_of(2, 1);
      put(object, old.fence);
      {
        thread change("change", [&] {
          put(object, made.fence);
          old.signal.signal();
          LAB_CHECK(!object.lock());
          LAB_CHECK(!object.reserve(5));
          object.unlock();
          rcu::flush_deferred();
        });
        thread read("read", [&] {
          resv_unlocked_cursor all(object, usage);
          while (const fence* f = all.next()) LAB_CHECK(f->context() == 1 || f->context() == 2);
        });
      }
      made.signal.signal();
    }
    rcu::flush_deferred();
  });
}

// --- Locks ---

TEST(resv_model, a_lock_orders_its_owners) {
  expect_safe_so_far([] {
    ww_mutex lock;
    cell<int> count;
    const auto add = [&] {
      LAB_CHECK(!lock.lock());
      count.set(count.get() + 1);
      lock.unlock();
    };
    {
      thread first("first", add);
      thread second("second", add);
      thread third("third", add);
    }
    LAB_CHECK(count.get() == 3);
  });
}

// Two contexts, two mutexes, both orders: the younger one gives way.
TEST(resv_model, contexts_that_lock_in_both_orders_do_not_deadlock) {
  expect_safe_so_far([] {
    ww_mutex locks[2];
    cell<int> count;
    const auto lock_both = [&](int first) {
      ww_context context;
      int begin = first;
      LAB_CHECK(!locks[begin].lock(&context));
      while (const std::error_code failed = locks[1 - begin].lock(&context)) {
        LAB_CHECK(failed == errno_code(EDEADLK));
        locks[begin].unlock();
        begin = 1 - begin;
        locks[begin].lock_slow(context);
      }
      count.set(count.get() + 1);
      locks[0].unlock();
      locks[1].unlock();
    };
    {
      thread first("first", [&] { lock_both(0); });
      thread second("second", [&] { lock_both(1); });
    }
    LAB_CHECK(count.get() == 2);
  });
}

// The younger one waits for what the older one has, is wounded, and leaves it with WAITERS set and
// nobody waiting.
TEST(resv_model, a_mutex_that_a_waiter_has_left_orders_its_owners) {
  expect_safe([] {
    ww_context older, younger;
    ww_mutex locks[2];
    cell<int> count;  // of locks[0]
    LAB_CHECK(!locks[0].lock(&older) && !locks[1].lock(&younger));
    thread first("older", [&] {
      LAB_CHECK(!locks[1].lock(&older));
      count.set(count.get() + 1);
      locks[0].unlock();
      locks[1].unlock();
    });
    thread second("younger", [&] {
      LAB_CHECK(locks[0].lock(&younger) == errno_code(EDEADLK));
      locks[1].unlock();
      locks[0].lock_slow(younger);
      count.set(count.get() + 1);
      locks[0].unlock();
    });
    first.join();
    second.join();
    LAB_CHECK(count.get() == 2);
  });
}

// Contexts in memory of their own: a thread that wounds one has to know it.
TEST(resv_model, a_context_that_got_a_contended_mutex_is_known_to_who_wounds_it) {
  expect_safe_so_far([] {
    ww_mutex lock;
    ww_context oldest;
    {
      thread anonymous("anonymous", [&] {
        LAB_CHECK(!lock.lock());
        lock.unlock();
      });
      thread younger("younger", [&] {
        const auto context = std::make_unique<ww_context>();
        LAB_CHECK(!lock.lock(context.get()));
        lock.unlock();
      });
      thread older("older", [&] {
        LAB_CHECK(!lock.lock(&oldest));
        lock.unlock();
      });
    }
  });
}

}  // namespace
}  // namespace ufence::lab
