// The kernel's interface, explored.
#include <linux/dma-fence-array.h>
#include <linux/dma-fence-chain.h>
#include <linux/dma-fence.h>
#include <linux/dma-resv.h>

#include "lab/models/testing/harness.h"
#include "ufence/base/alloc.h"
#include "ufence/kernel/interop.h"
#include "ufence/kernel/kernel_fence.h"

namespace ufence::lab {
namespace {

const char* name_of(dma_fence*) { return "model"; }
constexpr dma_fence_ops plain_ops{.get_driver_name = &name_of,
                                  .get_timeline_name = &name_of,
                                  .enable_signaling = nullptr,
                                  .signaled = nullptr,
                                  .wait = nullptr,
                                  .release = nullptr,
                                  .set_deadline = nullptr};

// In memory of its issuer, whose last reference frees it.
dma_fence* make(std::uint64_t seqno = 1) {
  auto* f = static_cast<dma_fence*>(allocate(sizeof(dma_fence)));
  dma_fence_init(f, &plain_ops, nullptr, 7, seqno);
  name(*f, "fence");
  return f;
}

// What the interface frees is freed after a grace period.
template <class Body>
std::function<void()> and_free(Body body) {
  return [body] {
    body();
    rcu_barrier();
  };
}

// --- Spinlocks ---

TEST(kernel_model, a_spinlock_orders_its_holders) {
  expect_safe([] {
    spinlock_t lock;
    spin_lock_init(&lock);
    cell<int> count;
    const auto add = [&] {
      spin_lock(&lock);
      count.set(count.get() + 1);
      spin_unlock(&lock);
    };
    {
      thread first("first", add);
      thread second("second", add);
      add();
    }
    LAB_CHECK(count.get() == 3);
  });
}

TEST(kernel_model, who_was_woken_sees_what_was_done_before) {
  expect_safe([] {
    wait_queue_head queue;
    init_waitqueue_head(&queue);
    cell<int> work;
    const u32 before = ufence_wait_begin(&queue);
    {
      thread wake("wake", [&] {
        work.set(1);
        wake_up(&queue);
      });
      thread wait("wait", [&] {
        u32 wakes = before;
        while ((wakes = ufence_wait_begin(&queue)) == before) {
          static_cast<void>(ufence_wait_end(&queue, wakes, false, no_deadline));
        }
        LAB_CHECK(work.get() == 1);
      });
    }
  });
}

TEST(kernel_model, a_mutex_orders_its_holders) {
  expect_safe([] {
    ::mutex lock;
    mutex_init(&lock);
    cell<int> count;
    const auto add = [&] {
      mutex_lock(&lock);
      count.set(count.get() + 1);
      mutex_unlock(&lock);
    };
    {
      thread first("first", add);
      thread second("second", add);
      add();
    }
    LAB_CHECK(count.get() == 3);
  });
}

// --- Flags ---

TEST(kernel_model, the_signaled_flag_shows_what_was_done_and_the_error) {
  expect_safe(and_free([] {
    dma_fence* f = make();
    cell<int> work;
    {
      thread issuer("issuer", [&] {
        work.set(1);
        dma_fence_set_error(f, -5);
        dma_fence_signal(f);
      });
      thread look("look", [&] {
        if (!dma_fence_test_signaled_flag(f)) return;
        LAB_CHECK(work.get() == 1);
        LAB_CHECK(as_cell(f->error).get() == -5);
      });
    }
    dma_fence_put(f);
  }));
}

TEST(kernel_model, the_signaled_flag_and_a_native_look_say_the_same) {
  expect_safe(and_free([] {
    dma_fence* f = make();
    {
      thread issuer("issuer", [&] {
        dma_fence_set_error(f, -5);
        dma_fence_signal(f);
      });
      thread look("look", [&] {
        const bool is_signaled = dma_fence_test_signaled_flag(f);
        const int status = to_fence(*f)->status();
        LAB_CHECK(status == -5 || (status == 0 && !is_signaled));
        if (status != 0) LAB_CHECK(dma_fence_test_signaled_flag(f));
      });
    }
    dma_fence_put(f);
  }));
}

TEST(kernel_model, a_timestamp_is_read_once_it_is_there) {
  expect_safe(and_free([] {
    dma_fence* f = make();
    {
      thread issuer("issuer", [&] { dma_fence_signal_timestamp(f, 42); });
      thread look("look", [&] {
        if (dma_fence_test_signaled_flag(f)) LAB_CHECK(dma_fence_timestamp(f) == 42);
      });
    }
    dma_fence_put(f);
  }));
}

// --- Callbacks ---

struct noting_cb : dma_fence_cb {
  cell<int> runs;
  static void run(dma_fence*, dma_fence_cb* cb) {
    auto& self = *static_cast<noting_cb*>(cb);
    self.runs.set(self.runs.get() + 1);
  }
};

TEST(kernel_model, a_callback_that_was_not_removed_has_run_and_may_be_freed) {
  expect_safe_so_far(and_free([] {
    dma_fence* f = make();
    auto* cb = new noting_cb;
    auto* next = new noting_cb;
    LAB_CHECK(dma_fence_add_callback(f, cb, &noting_cb::run) == 0);
    LAB_CHECK(dma_fence_add_callback(f, next, &noting_cb::run) == 0);
    {
      thread issuer("issuer", [&] { dma_fence_signal(f); });
      thread remove("remove", [&] {
        for (noting_cb* it : {cb, next}) {
          const bool removed = dma_fence_remove_callback(f, it);
          LAB_CHECK(it->runs.get() == (removed ? 0 : 1));
          delete it;
        }
      });
    }
    dma_fence_put(f);
  }));
}

TEST(kernel_model, a_waiter_may_take_the_memory_when_the_signal_is_through) {
  // As a fence on its stack: no reference is dropped.
  for (const bool has_callback : {false, true}) {
    expect_safe_so_far(and_free([=] {
      dma_fence* f = make();
      noting_cb cb;
      if (has_callback) LAB_CHECK(dma_fence_add_callback(f, &cb, &noting_cb::run) == 0);
      {
        thread issuer("issuer", [&] { dma_fence_signal(f); });
        thread wait("wait", [&] {
          LAB_CHECK(dma_fence_wait(f, false) == 0);
          LAB_CHECK(cb.runs.get() == (has_callback ? 1 : 0));
          deallocate(f);
        });
      }
    }));
  }
}

// What both sides of the race for the last reference did before is seen by its release op.
cell<int>* of_callback = nullptr;
cell<int>* of_holder = nullptr;

void release_and_look(dma_fence* f) {
  LAB_CHECK(of_callback->get() == 1 && of_holder->get() == 1);
  dma_fence_free(f);
}

TEST(kernel_model, the_reference_of_a_signal_may_be_the_last_one) {
  static constexpr dma_fence_ops releasing_ops{.get_driver_name = &name_of,
                                               .get_timeline_name = &name_of,
                                               .enable_signaling = nullptr,
                                               .signaled = nullptr,
                                               .wait = nullptr,
                                               .release = &release_and_look,
                                               .set_deadline = nullptr};
  struct putting_cb : dma_fence_cb {
    static void run(dma_fence* f, dma_fence_cb*) {
      dma_fence_put(f);
      of_callback->set(1);
    }
  };
  expect_safe_so_far(and_free([] {
    cell<int> done_in_callback;
    cell<int> done_by_holder;
    of_callback = &done_in_callback;
    of_holder = &done_by_holder;
    auto* f = static_cast<dma_fence*>(allocate(sizeof(dma_fence)));
    dma_fence_init(f, &releasing_ops, nullptr, 7, 1);
    dma_fence_get(f);
    putting_cb cb;
    LAB_CHECK(dma_fence_add_callback(f, &cb, &putting_cb::run) == 0);
    {
      thread issuer("issuer", [&] { dma_fence_signal(f); });
      thread holder("holder", [&] {
        done_by_holder.set(1);
        dma_fence_put(f);
      });
    }
    rcu_barrier();
  }));
}

// --- Containers ---

struct two_fences {
  dma_fence* one = make(1);
  dma_fence* two = make(2);
};

dma_fence_array* array_of(const two_fences& children) {
  auto** list = static_cast<dma_fence**>(allocate(2 * sizeof(dma_fence*)));
  list[0] = dma_fence_get(children.one);
  list[1] = dma_fence_get(children.two);
  return dma_fence_array_create(2, list, 9, 1, false);
}

TEST(kernel_model, an_array_ends_after_what_was_done_before_each_of_its_children) {
  expect_safe(and_free([] {
    const two_fences children;
    dma_fence_array* all = array_of(children);
    dma_fence_enable_sw_signaling(&all->base);
    cell<int> work[2];
    {
      thread first("first", [&] { work[0].set(1), dma_fence_signal(children.one); });
      thread second("second", [&] { work[1].set(1), dma_fence_signal(children.two); });
      thread look("look", [&] {
        if (!dma_fence_test_signaled_flag(&all->base)) return;
        LAB_CHECK(work[0].get() == 1 && work[1].get() == 1);
      });
    }
    LAB_CHECK(dma_fence_test_signaled_flag(&all->base));
    dma_fence_put(&all->base);
    dma_fence_put(children.one);
    dma_fence_put(children.two);
  }));
}

TEST(kernel_model, an_array_is_polled_while_it_is_enabled) {
  expect_safe(and_free([] {
    const two_fences children;
    dma_fence_array* all = array_of(children);
    dma_fence_signal(children.one);
    {
      thread enable("enable", [&] { dma_fence_enable_sw_signaling(&all->base); });
      thread poll("poll", [&] { LAB_CHECK(!dma_fence_is_signaled(&all->base)); });
    }
    dma_fence_signal(children.two);
    LAB_CHECK(dma_fence_test_signaled_flag(&all->base));
    dma_fence_put(&all->base);
    dma_fence_put(children.one);
    dma_fence_put(children.two);
  }));
}

TEST(kernel_model, of_two_that_find_a_container_complete_one_signals_it_with_the_error_of_the_other) {
  expect_safe_so_far(and_free([] {
    result<new_fence> made = fence::create(7, 1);
    dma_fence* f = to_dma_fence(made->fence);
    made->signal.signal(-5);
    const auto poll = [f] {
      if (dma_fence_is_signaled(f)) LAB_CHECK(as_cell(f->error).get() == -5);
    };
    {
      thread first("first", poll);
      thread second("second", poll);
    }
    LAB_CHECK(dma_fence_get_status(f) == -5);
    dma_fence_put(f);
  }));
}

TEST(kernel_model, of_two_that_poll_an_array_one_signals_it_with_the_error_that_the_other_noted) {
  expect_safe_so_far(and_free([] {
    dma_fence* child = make();
    auto** list = static_cast<dma_fence**>(allocate(sizeof(dma_fence*)));
    list[0] = dma_fence_get(child);
    dma_fence* array = &dma_fence_array_create(1, list, 9, 1, false)->base;
    dma_fence_set_error(child, -5);
    dma_fence_signal(child);
    const auto poll = [array] {
      LAB_CHECK(dma_fence_is_signaled(array));
      LAB_CHECK(as_cell(array->error).get() == -5);
    };
    {
      thread first("first", poll);
      thread second("second", poll);
    }
    dma_fence_put(array);
    dma_fence_put(child);
  }));
}

// A callback that signals another fence, or polls one.
struct acting_cb : dma_fence_cb {
  dma_fence* signals = nullptr;
  dma_fence* polls = nullptr;
  static void run(dma_fence*, dma_fence_cb* cb) {
    auto& self = *static_cast<acting_cb*>(cb);
    if (self.signals != nullptr) dma_fence_signal(self.signals);
    if (self.polls != nullptr) static_cast<void>(dma_fence_is_signaled(self.polls));
  }
};

// The array waits on one thread for its own signaling, and stands there before another fence that is to be
// settled, while the other thread polls and signals it, itself in a callback.
TEST(kernel_model, an_array_is_polled_while_it_is_queued_on_another_thread) {
  expect_safe_so_far(and_free([] {
    dma_fence* child = make(1);
    dma_fence* other = make(2);
    dma_fence* elsewhere = make(3);
    auto** list = static_cast<dma_fence**>(allocate(sizeof(dma_fence*)));
    list[0] = dma_fence_get(child);
    dma_fence_array* array = dma_fence_array_create(1, list, 9, 1, false);
    noting_cb of_array;
    noting_cb of_other;
    acting_cb signals;
    acting_cb polls;
    signals.signals = other;
    polls.polls = &array->base;
    LAB_CHECK(dma_fence_add_callback(&array->base, &of_array, &noting_cb::run) == 0);
    LAB_CHECK(dma_fence_add_callback(other, &of_other, &noting_cb::run) == 0);
    LAB_CHECK(dma_fence_add_callback(child, &signals, &acting_cb::run) == 0);
    LAB_CHECK(dma_fence_add_callback(elsewhere, &polls, &acting_cb::run) == 0);
    {
      thread first("first", [&] { dma_fence_signal(child); });
      thread second("second", [&] { dma_fence_signal(elsewhere); });
    }
    LAB_CHECK(of_array.runs.get() == 1);
    LAB_CHECK(of_other.runs.get() == 1);
    LAB_CHECK(kref_read(&array->base.refcount) == 1);
    LAB_CHECK(kref_read(&other->refcount) == 1);
    for (dma_fence* f : {&array->base, child, other, elsewhere}) dma_fence_put(f);
  }));
}

TEST(kernel_model, who_follows_a_link_around_a_node_sees_what_its_fence_showed) {
  expect_safe_so_far(and_free([] {
    dma_fence* contained = make();
    auto* before = dma_fence_chain_alloc();
    dma_fence_chain_init(before, nullptr, dma_fence_get(contained), 1);
    auto* last = dma_fence_chain_alloc();
    dma_fence_chain_init(last, &before->base, dma_fence_get_stub(), 2);
    cell<int> work;
    {
      thread issuer("issuer", [&] {
        work.set(1);
        dma_fence_signal(contained);
        dma_fence_put(dma_fence_chain_walk(dma_fence_get(&last->base)));
      });
      thread look("look", [&] {
        if (dma_fence_is_signaled(&last->base)) LAB_CHECK(work.get() == 1);
      });
    }
    dma_fence_put(&last->base);
    dma_fence_put(contained);
  }));
}

// --- Reservation objects ---

// An object with room, whose lock nobody needs here: one thread changes it.
struct object : dma_resv {
  explicit object(unsigned int reserved) {
    dma_resv_init(this);
    LAB_CHECK(dma_resv_reserve_fences(this, reserved) == 0);
  }
  ~object() { dma_resv_fini(this); }
  object(const object&) = delete;
  object& operator=(const object&) = delete;
};

TEST(kernel_model, who_finds_an_added_fence_sees_what_was_done_before) {
  for (const bool replaces : {false, true}) {
    expect_safe_so_far(and_free([=] {
      dma_fence* first = make(1);
      dma_fence* second = make(2);
      {
        object buffer(1);
        if (replaces) dma_resv_add_fence(&buffer, first, DMA_RESV_USAGE_WRITE);
        cell<int> work;
        thread add("add", [&] {
          work.set(1);
          dma_resv_add_fence(&buffer, second, DMA_RESV_USAGE_WRITE);
        });
        thread look("look", [&] {
          dma_resv_iter all;
          dma_resv_iter_begin(&all, &buffer, DMA_RESV_USAGE_READ);
          const dma_fence* found = dma_resv_iter_first_unlocked(&all);
          if (found == second) LAB_CHECK(work.get() == 1);
          LAB_CHECK(found != nullptr || !replaces);
          dma_resv_iter_end(&all);
        });
      }
      dma_fence_put(first);
      dma_fence_put(second);
    }));
  }
}

TEST(kernel_model, a_pending_fence_is_found_while_the_list_is_replaced) {
  for (const bool copies : {false, true}) {
    expect_safe_so_far(and_free([=] {
      dma_fence* f = make(1);
      {
        object buffer(1);
        object other(1);
        dma_resv_add_fence(&buffer, f, DMA_RESV_USAGE_WRITE);
        dma_resv_add_fence(&other, f, DMA_RESV_USAGE_READ);
        thread change("change", [&] {
          LAB_CHECK((copies ? dma_resv_copy_fences(&buffer, &other)
                            : dma_resv_reserve_fences(&buffer, 4)) == 0);
        });
        thread look("look", [&] {
          LAB_CHECK(!dma_resv_test_signaled(&buffer, DMA_RESV_USAGE_READ));
        });
      }
      dma_fence_put(f);
    }));
  }
}

}  // namespace
}  // namespace ufence::lab
