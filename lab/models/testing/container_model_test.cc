// Arrays and chains, explored: enabling against children, polling, walkers against those that
// unlink.
#include "lab/models/testing/harness.h"
#include "ufence/base/alloc.h"
#include "ufence/container/array.h"
#include "ufence/container/block.h"
#include "ufence/container/chain.h"

namespace ufence::lab {
namespace {

struct two_fences {
  new_fence one = make_fence(), two = make_fence();

  fence_ref array(array_mode mode = array_mode::all) const {
    const fence_ref both[] = {one.fence, two.fence};
    return fence_array::create(both, mode).value();
  }
};

// What containers leave is freed after a grace period.
template <class Body>
void and_free(Body body) {
  body();
  rcu::flush_deferred();
}

// --- Arrays ---

TEST(container_model, an_array_is_enabled_while_its_children_signal) {
  expect_safe_so_far([] {
    and_free([] {
      two_fences children;
      const fence_ref all = children.array();
      cell<int> work[2];
      {
        thread first("first", [&] { work[0].set(1), children.one.signal.signal(-5); });
        thread second("second", [&] { work[1].set(1), children.two.signal.signal(); });
        thread enable("enable", [&] {
          all->enable_signaling();
          if (!all->is_signaled()) return;
          LAB_CHECK(all->error() == -5);
          LAB_CHECK(work[0].get() == 1 && work[1].get() == 1);
        });
      }
      LAB_CHECK(all->is_signaled() && all->error() == -5);
    });
  });
}

TEST(container_model, an_enabled_array_ends_with_the_last_of_its_children) {
  expect_safe_so_far([] {
    and_free([] {
      two_fences children;
      fence_ref all = children.array();
      all->enable_signaling();
      cell<int> work[2];
      thread first("first", [&] { work[0].set(1), children.one.signal.signal(); });
      thread second("second", [&] { work[1].set(1), children.two.signal.signal(-7); });
      thread look("look", [&] {
        if (!all->is_signaled()) return;
        LAB_CHECK(all->error() == -7);
        LAB_CHECK(work[0].get() == 1 && work[1].get() == 1);
      });
    });
  });
}

TEST(container_model, an_array_that_is_enabled_late_ends_with_the_error_of_before) {
  expect_safe([] {
    and_free([] {
      two_fences children;
      const fence_ref all = children.array();
      // Enabling finds it before or after it has registered with the other one.
      const bool is_first = choose(2) == 0;
      (is_first ? children.one : children.two).signal.signal(-5);
      {
        thread other("other", [&] { (is_first ? children.two : children.one).signal.signal(); });
        thread enable("enable", [&] { all->enable_signaling(); });
      }
      LAB_CHECK(all->is_signaled() && all->error() == -5);
    });
  });
}

TEST(container_model, a_container_is_found_through_a_slot) {
  expect_safe([] {
    and_free([] {
      two_fences children;
      atomic<fence*> slot{nullptr};
      fence_ref mine;
      thread make("make", [&] {
        mine = children.array();
        slot.store(mine.get(), mo::release);
      });
      thread find("find", [&] {
        const rcu::read_section section;
        if (const fence_ref f = fence::get_rcu(slot)) LAB_CHECK(!f->is_signaled());
      });
      make.join();
      find.join();
      mine.reset();
      children.one.signal.signal();
      children.two.signal.signal();
    });
  });
}

// The array's own reference, and the memory that goes with it.
TEST(container_model, the_last_child_may_free_the_array) {
  expect_safe_so_far([] {
    and_free([] {
      two_fences children;
      fence_ref all = children.array();
      all->enable_signaling();
      thread first("first", [&] { children.one.signal.signal(); });
      thread second("second", [&] { children.two.signal.signal(); });
      thread drop("drop", [&] { all.reset(); });
    });
  });
}

TEST(container_model, an_array_of_any_ends_with_the_first_of_its_children) {
  expect_safe_so_far([] {
    and_free([] {
      two_fences children;
      const fence_ref any = children.array(array_mode::any);
      any->enable_signaling();
      {
        thread first("first", [&] { children.one.signal.signal(-1); });
        thread second("second", [&] { children.two.signal.signal(-2); });
        thread look("look", [&] {
          if (any->is_signaled()) LAB_CHECK(any->error() == -1 || any->error() == -2);
        });
      }
      LAB_CHECK(any->is_signaled());
    });
  });
}

TEST(container_model, an_array_of_any_has_the_error_of_a_child) {
  expect_safe([] {
    and_free([] {
      two_fences children;
      const fence_ref any = children.array(array_mode::any);
      any->enable_signaling();
      {
        thread first("first", [&] { children.one.signal.signal(-1); });
        thread second("second", [&] { children.two.signal.signal(-2); });
      }
      LAB_CHECK(any->error() == -1 || any->error() == -2);
    });
  });
}

// A child that is complete if one asks: poll() of the array reaches it, also while another enables.
struct finished : issuer_data {
  finished() : issuer_data(ops) {}
  static int poll(backend* data) noexcept {
    LAB_CHECK(of(data).is_alive.get());
    return 1;
  }
  static void retire(backend* data, retired_by) noexcept { delete static_cast<finished*>(data); }
  static constexpr backend_ops ops{.poll = &finished::poll, .retire = &finished::retire};
};

TEST(container_model, an_array_is_polled_while_another_thread_enables_it) {
  expect_safe_so_far([] {
    and_free([] {
      new_fence child = make_fence(new finished);
      const fence_ref children[] = {child.fence};
      const fence_ref all = fence_array::create(children).value();
      {
        thread poll("poll", [&] { all->poll(); });
        thread enable("enable", [&] { all->enable_signaling(); });
      }
      LAB_CHECK(all->is_signaled() && child.fence->is_signaled());
      child.signal.signal();
    });
  });
}

// --- Chains ---

struct chain_of_three {
  new_fence fences[3] = {make_fence(), make_fence(), make_fence()};
  fence_ref last;

  chain_of_three() {
    std::uint64_t point = 0;
    for (const new_fence& f : fences) last = fence_chain::create(last, f.fence, ++point).value();
  }
};

TEST(container_model, walkers_meet_nodes_that_others_unlink) {
  expect_safe_so_far([] {
    and_free([] {
      chain_of_three chain;
      chain.fences[1].signal.signal();
      const auto walk = [&] {
        const fence_ref before = fence_chain::walk(*chain.last);
        LAB_CHECK(!before || before->seqno() == 1);
      };
      {
        thread first("first", walk);
        thread second("second", [&] {
          walk();
          rcu::flush_deferred();
        });
        thread signal("signal", [&] { chain.fences[0].signal.signal(); });
      }
      chain.fences[2].signal.signal();
    });
  });
}

TEST(container_model, readers_of_a_chain_meet_nodes_that_others_unlink_and_free) {
  expect_safe_so_far([] {
    and_free([] {
      chain_of_three chain;
      chain.fences[1].signal.signal();
      {
        thread read("read", [&] {
          const rcu::read_section section;
          auto* node = fence_chain::from(*chain.last);
          while (fence* before = node->previous_rcu()) {
            LAB_CHECK(before->seqno() < node->seqno());
            node = fence_chain::from(*before);
          }
        });
        thread collect("collect", [&] {
          static_cast<void>(fence_chain::walk(*chain.last));
          rcu::flush_deferred();
        });
        thread signal("signal", [&] { chain.fences[0].signal.signal(); });
      }
      chain.fences[2].signal.signal();
    });
  });
}

// Who knows a node knows those that were there when it was made, also through links that others
// have changed since.
TEST(container_model, a_reader_follows_the_links_of_a_node_that_it_found_in_a_slot) {
  expect_safe([] {
    and_free([] {
      new_fence fences[3] = {make_fence(), make_fence(), make_fence()};
      const fence_ref first = fence_chain::create({}, fences[0].fence, 1).value();
      fence_ref last;
      atomic<fence*> slot{nullptr};
      fences[1].signal.signal();
      {
        thread make("make", [&] {
          fence_ref second = fence_chain::create(first, fences[1].fence, 2).value();
          last = fence_chain::create(second, fences[2].fence, 3).value();
          slot.store(last.get(), mo::release);
          second.reset();
          static_cast<void>(fence_chain::walk(*last));
        });
        thread read("read", [&] {
          const rcu::read_section section;
          for (fence* at = slot.load(mo::acquire); at != nullptr;) {
            fence* before = fence_chain::from(*at)->previous_rcu();
            LAB_CHECK(before == nullptr || before->seqno() < at->seqno());
            at = before;
          }
        });
        thread signal("signal", [&] { fences[0].signal.signal(); });
      }
      fences[2].signal.signal();
    });
  });
}

TEST(container_model, the_failure_of_an_unlinked_node_is_remembered) {
  expect_safe_so_far([] {
    and_free([] {
      chain_of_three chain;
      {
        thread fail("fail", [&] {
          chain.fences[1].signal.signal(-5);
          static_cast<void>(fence_chain::walk(*chain.last));
        });
        thread look("look", [&] {
          if (!chain.fences[1].fence->is_signaled()) return;
          const fence_ref failed = fence_chain::from(*chain.last)->first_failed();
          LAB_CHECK(failed == chain.fences[1].fence);
        });
      }
      chain.fences[0].signal.signal();
      chain.fences[2].signal.signal();
    });
  });
}

TEST(container_model, a_chain_is_enabled_while_its_fences_signal) {
  expect_safe_so_far([] {
    and_free([] {
      new_fence one = make_fence();
      new_fence two = make_fence();
      const fence_ref first_point = fence_chain::create({}, one.fence, 1).value();
      const fence_ref last = fence_chain::create(first_point, two.fence, 2).value();
      cell<int> runs;
      cell<bool> added;
      counting node(runs, false);
      {
        thread first("first", [&] { one.signal.signal(); });
        thread second("second", [&] { two.signal.signal(); });
        thread add("add", [&] { added.set(!last->add_callback(node)); });
      }
      LAB_CHECK(runs.get() == (added.get() ? 1 : 0));
      LAB_CHECK(last->is_signaled());
    });
  });
}

// --- Their memory ---

TEST(container_model, memory_that_is_kept_is_used_by_one_thread_at_a_time) {
  expect_safe([] {
    constexpr std::size_t bytes = 64;
    kept_bytes_max = 2 * bytes;
    const auto use = [] {
      void* memory = ufence::detail::allocate_block(bytes);
      auto* value = ::new (memory) cell<int>(1);
      LAB_CHECK(value->get() == 1);
      ufence::detail::free_block(memory, bytes);
    };
    {
      thread first("first", use);
      thread second("second", use);
    }
    kept_bytes_max = 0;
    void* kept[] = {ufence::detail::allocate_block(bytes), ufence::detail::allocate_block(bytes)};
    for (void* memory : kept) ufence::detail::free_block(memory, bytes);
  });
}

}  // namespace
}  // namespace ufence::lab
