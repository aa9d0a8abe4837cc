// One fence, explored: the sources of the fence layer, over the doubles of base.
#include "lab/models/testing/harness.h"
#include "ufence/fence/wait.h"

namespace ufence::lab {
namespace {

// --- Deciding and looking ---

TEST(fence_model, a_signaled_fence_shows_its_result) {
  expect_safe([] {
    new_fence made = make_fence();
    fence& f = *made.fence;
    thread signal("signal", [&] { LAB_CHECK(made.signal.signal(-5)); });
    const auto look = [&] {
      if (!f.is_signaled()) return;
      LAB_CHECK(f.error() == -5);
      LAB_CHECK(f.timestamp_ns() != 0);
      LAB_CHECK(f.status() == -5);
    };
    thread first("first", look);
    thread second("second", look);
  });
}

TEST(fence_model, who_sleeps_on_the_lock_is_woken) {
  expect_safe_so_far([] {
    new_fence made = make_fence();
    signaler other = made.signal.share();
    thread first("first", [&] { made.signal.signal(-5); });
    thread second("second", [&] { other.signal(-9); });
  });
}

TEST(fence_model, of_two_signalers_one_wins_and_is_told) {
  const spinning instead_of_sleeping;
  expect_safe([] {
    new_fence made = make_fence();
    fence& f = *made.fence;
    signaler other = made.signal.share();
    cell<bool> first_won, second_won;
    {
      thread first("first", [&] { first_won.set(made.signal.signal(-5)); });
      thread second("second", [&] { second_won.set(other.signal(-9)); });
      thread look("look", [&] {
        if (f.is_signaled()) LAB_CHECK(f.error() == -5 || f.error() == -9);
      });
    }
    LAB_CHECK(first_won.get() != second_won.get());
    LAB_CHECK(f.error() == (first_won.get() ? -5 : -9));
    LAB_CHECK(f.is_settled());
  });
}

TEST(fence_model, two_signalers_with_an_op_retire_once) {
  static constexpr backend_ops ops{
      .poll =
          [](backend* data) noexcept {
            LAB_CHECK(issuer_data::of(data).is_alive.get());
            return 0;
          },
      .retire = [](backend* data, retired_by) noexcept { delete &issuer_data::of(data); }};
  expect_safe([] {
    new_fence made = make_fence(new issuer_data(ops));
    signaler other = made.signal.share();
    thread first("first", [&] { made.signal.signal(-5); });
    thread second("second", [&] { other.signal(-9); });
    thread poll("poll", [&] { made.fence->poll(); });
  });
}

TEST(fence_model, a_settlement_may_be_handed_to_another_thread) {
  expect_safe_so_far([] {
    cell<int> runs;
    counting node(runs, false);
    new_fence made = make_fence();
    LAB_CHECK(!made.fence->add_callback(node));
    atomic<void*> handed{nullptr};
    thread decide("decide", [&] {
      settlement later;
      made.signal.decide(-5, later);
      handed.store(later.give_up(), mo::release);
    });
    thread settle("settle", [&] {
      void* last = nullptr;
      while ((last = handed.load(mo::acquire)) == nullptr) spin_pause();
      settlement::adopt(last).settle();
      LAB_CHECK(runs.get() == 1);
    });
    thread wait("wait", [&] {
      LAB_CHECK(!made.fence->wait_settled());
      LAB_CHECK(runs.get() == 1);
    });
  });
}

// --- Callbacks ---

TEST(fence_model, a_callback_that_was_added_runs_once_and_may_free_itself) {
  expect_safe([] {
    new_fence made = make_fence();
    cell<int> runs;
    cell<bool> added;
    {
      thread signal("signal", [&] { made.signal.signal(); });
      thread add("add", [&] {
        auto* node = new counting(runs, true);
        const std::error_code failed = made.fence->add_callback(*node);
        added.set(!failed);
        LAB_CHECK(!failed || failed == errno_code(ENOENT));
        if (failed) delete node;
      });
    }
    LAB_CHECK(runs.get() == (added.get() ? 1 : 0));
  });
}

// A fence that one thread alone may signal is decided without LOCK, if no callback is seen.
TEST(fence_model, a_callback_that_is_added_beside_the_decision_runs_or_is_refused) {
  struct counting : callback {
    counting() noexcept : callback(&counting::run) {}
    static void run(callback& node, fence& f) noexcept {
      LAB_CHECK(f.error() == -5);
      auto& self = static_cast<counting&>(node);
      self.runs.set(self.runs.get() + 1);
    }
    cell<int> runs{0};
  };
  const spinning instead_of_sleeping;
  expect_safe([] {
    new_fence made = make_fence();
    fence& f = *made.fence;
    counting node;
    cell<bool> was_added{false};
    {
      thread signal("signal", [&] { LAB_CHECK(made.signal.signal(-5)); });
      thread add("add", [&] {
        const std::error_code refused = f.add_callback(node);
        was_added.set(!refused);
        if (refused) LAB_CHECK(f.error() == -5);
      });
      thread look("look", [&] {
        if (f.is_settled()) LAB_CHECK(f.error() == -5 && f.is_signaled());
      });
    }
    LAB_CHECK(f.is_settled());
    LAB_CHECK(node.runs.get() == (was_added.get() ? 1 : 0));
  });
}

// Here the thread that lists it may have waited for LOCK, which another one leaves with an empty
// list.
TEST(fence_model, a_callback_that_is_added_after_who_had_the_lock_runs_or_is_refused) {
  struct counting : callback {
    counting() noexcept : callback(&counting::run) {}
    static void run(callback& node, fence&) noexcept {
      auto& self = static_cast<counting&>(node);
      self.runs.set(self.runs.get() + 1);
    }
    cell<int> runs{0};
  };
  const spinning instead_of_sleeping;
  expect_safe([] {
    new_fence made = make_fence();
    fence& f = *made.fence;
    counting node, never_added;
    cell<bool> was_added{false};
    {
      thread signal("signal", [&] { LAB_CHECK(made.signal.signal()); });
      thread add("add", [&] { was_added.set(!f.add_callback(node)); });
      thread remove("remove", [&] { LAB_CHECK(!*f.remove_callback(never_added)); });
    }
    LAB_CHECK(node.runs.get() == (was_added.get() ? 1 : 0));
  });
}

TEST(fence_model, who_waits_for_settled_is_woken_by_a_decision_without_callbacks) {
  const spinning instead_of_sleeping;
  expect_safe([] {
    new_fence made = make_fence();
    fence& f = *made.fence;
    thread signal("signal", [&] { made.signal.signal(-5); });
    thread wait("wait", [&] {
      LAB_CHECK(!f.wait_settled());
      LAB_CHECK(f.error() == -5);
    });
  });
}

TEST(fence_model, two_callbacks_of_two_threads_run_once_each) {
  expect_safe_so_far([] {
    new_fence made = make_fence();
    cell<int> runs[2];
    cell<bool> added[2];
    const auto add = [&](int i) {
      auto* node = new counting(runs[i], true);
      added[i].set(!made.fence->add_callback(*node));
      if (!added[i].get()) delete node;
    };
    {
      thread signal("signal", [&] { made.signal.signal(); });
      thread first("first", [&] { add(0); });
      thread second("second", [&] { add(1); });
    }
    for (int i : {0, 1}) LAB_CHECK(runs[i].get() == (added[i].get() ? 1 : 0));
  });
}

TEST(fence_model, a_callback_that_was_removed_is_not_running_and_never_will) {
  expect_safe_so_far([] {
    new_fence made = make_fence();
    cell<int> runs;
    thread signal("signal", [&] { made.signal.signal(); });
    thread remove("remove", [&] {
      auto* node = new counting(runs, false);
      if (!made.fence->add_callback(*node)) {
        const bool removed = made.fence->remove_callback(*node).value();
        LAB_CHECK(runs.get() == (removed ? 0 : 1));
      }
      delete node;
    });
  });
}

TEST(fence_model, a_callback_is_removed_while_an_earlier_one_runs) {
  expect_safe_so_far([] {
    new_fence made = make_fence();
    cell<int> runs[2];
    counting first(runs[0], false);
    LAB_CHECK(!made.fence->add_callback(first));
    auto* second = new counting(runs[1], false);
    LAB_CHECK(!made.fence->add_callback(*second));
    thread signal("signal", [&] { made.signal.signal(); });
    thread remove("remove", [&] {
      const bool removed = made.fence->remove_callback(*second).value();
      LAB_CHECK(runs[1].get() == (removed ? 0 : 1));
      delete second;
    });
    signal.join();
    remove.join();
    LAB_CHECK(runs[0].get() == 1);
  });
}

TEST(fence_model, a_callback_that_runs_is_waited_for_beside_those_who_wait_for_the_fence) {
  settings with;
  with.has_futex_waitv = true;
  expect_safe_so_far(
      [] {
        new_fence made = make_fence();
        cell<int> runs;
        auto* node = new counting(runs, false);
        LAB_CHECK(!made.fence->add_callback(*node));
        // Leaves the mark of a waiter behind, which the signal takes away.
        LAB_CHECK(wait_any(std::span(&made.fence, 1), no_wait).error() == errno_code(ETIME));
        thread signal("signal", [&] { made.signal.signal(); });
        thread remove("remove", [&] {
          const bool removed = made.fence->remove_callback(*node).value();
          LAB_CHECK(runs.get() == (removed ? 0 : 1));
          delete node;
        });
      },
      with);
}

TEST(fence_model, who_looked_for_a_callback_is_done_when_its_place_is_used_again) {
  expect_safe_so_far([] {
    new_fence one = make_fence();
    new_fence two = make_fence();
    cell<int> runs[2];
    counting first(runs[0], false);
    counting second(runs[1], false);
    LAB_CHECK(!one.fence->add_callback(first));
    LAB_CHECK(!two.fence->add_callback(second));
    {
      // At the same depth of the stack, neither as a tail call.
      thread signal("signal", [&] {
        for (new_fence* made : {&one, &two}) LAB_CHECK(made->signal.signal());
      });
      thread remove("remove", [&] { static_cast<void>(one.fence->remove_callback(first)); });
    }
    LAB_CHECK(runs[1].get() == 1);
  });
}

TEST(fence_model, a_callback_that_has_run_is_seen_by_who_removes_it_while_the_next_one_runs) {
  expect_safe_so_far([] {
    new_fence made = make_fence();
    cell<int> runs[2];
    auto* first = new counting(runs[0], false);
    counting second(runs[1], false);
    LAB_CHECK(!made.fence->add_callback(*first));
    LAB_CHECK(!made.fence->add_callback(second));
    thread signal("signal", [&] { made.signal.signal(); });
    thread remove("remove", [&] {
      const bool removed = made.fence->remove_callback(*first).value();
      LAB_CHECK(runs[0].get() == (removed ? 0 : 1));
      delete first;
    });
  });
}

TEST(fence_model, two_running_callbacks_that_remove_each_other_do_not_deadlock) {
  struct remover : callback {
    remover() : callback(&remover::run) {}
    static void run(callback& node, fence&) noexcept {
      auto& self = static_cast<remover&>(node);
      const result<bool> removed = self.other_fence->remove_callback(*self.other);
      self.refused.set(!removed);
      LAB_CHECK(removed || removed.error() == errno_code(EDEADLK));
      self.ran.set(true);
    }
    fence* other_fence = nullptr;
    callback* other = nullptr;
    cell<bool> refused, ran;
  };
  expect_safe_so_far([] {
    new_fence one = make_fence();
    new_fence two = make_fence();
    remover a, b;
    a.other_fence = two.fence.get();
    a.other = &b;
    b.other_fence = one.fence.get();
    b.other = &a;
    LAB_CHECK(!one.fence->add_callback(a));
    LAB_CHECK(!two.fence->add_callback(b));
    {
      thread first("first", [&] { one.signal.signal(); });
      thread second("second", [&] { two.signal.signal(); });
    }
    LAB_CHECK(!(a.refused.get() && b.refused.get()));
    LAB_CHECK(a.ran.get() || b.ran.get());
  });
}

// --- Waiting ---

TEST(fence_model, a_waiter_is_woken_by_the_decision) {
  expect_safe([] {
    new_fence made = make_fence();
    cell<int> work;
    thread signal("signal", [&] { work.set(1), made.signal.signal(-5); });
    thread wait("wait", [&] {
      LAB_CHECK(!made.fence->wait());
      LAB_CHECK(work.get() == 1);
      LAB_CHECK(made.fence->error() == -5);
    });
  });
}

TEST(fence_model, two_waiters_are_both_woken) {
  expect_safe([] {
    new_fence made = make_fence();
    thread signal("signal", [&] { made.signal.signal(-5); });
    const auto wait = [&] { LAB_CHECK(!made.fence->wait() && made.fence->error() == -5); };
    thread first("first", wait);
    thread second("second", wait);
  });
}

TEST(fence_model, who_waits_for_settled_sees_what_callbacks_wrote) {
  expect_safe_so_far([] {
    new_fence made = make_fence();
    cell<int> runs;
    counting node(runs, false);
    LAB_CHECK(!made.fence->add_callback(node));
    thread signal("signal", [&] { made.signal.signal(); });
    thread wait("wait", [&] {
      LAB_CHECK(!made.fence->wait_settled());
      LAB_CHECK(runs.get() == 1);
    });
    thread look("look", [&] {
      if (made.fence->is_settled()) LAB_CHECK(runs.get() == 1);
    });
  });
}

TEST(fence_model, a_look_that_finds_it_settled_shows_what_callbacks_wrote) {
  expect_safe([] {
    new_fence made = make_fence();
    cell<int> runs;
    counting node(runs, false);
    LAB_CHECK(!made.fence->add_callback(node));
    thread signal("signal", [&] { made.signal.signal(); });
    thread look("look", [&] {
      if (made.fence->is_settled()) LAB_CHECK(runs.get() == 1);
    });
  });
}

TEST(fence_model, a_look_that_finds_it_settled_beside_who_removes_shows_what_callbacks_wrote) {
  expect_safe_so_far([] {
    new_fence made = make_fence();
    cell<int> runs;
    counting node(runs, false);
    LAB_CHECK(!made.fence->add_callback(node));
    thread signal("signal", [&] { made.signal.signal(); });
    thread remove("remove", [&] { static_cast<void>(made.fence->remove_callback(node)); });
    thread look("look", [&] {
      if (made.fence->is_settled()) LAB_CHECK(runs.get() <= 1);
    });
  });
}

TEST(fence_model, a_waiter_with_a_deadline_is_told_of_either) {
  settings with;
  with.explore_timeouts = true;
  expect_safe(
      [] {
        new_fence made = make_fence();
        thread signal("signal", [&] { made.signal.signal(-5); });
        thread wait("wait", [&] {
          const std::error_code failed = made.fence->wait(deadline_after(1000));
          if (failed) {
            LAB_CHECK(failed == errno_code(ETIME));
          } else {
            LAB_CHECK(made.fence->error() == -5);
          }
        });
      },
      with);
}

void wait_for_any_of_two() {
  new_fence one = make_fence();
  new_fence two = make_fence();
  thread first("first", [&] { one.signal.signal(-1); });
  thread second("second", [&] { two.signal.signal(-2); });
  thread wait("wait", [&] {
    const fence_ref both[] = {one.fence, two.fence};
    const std::size_t found = wait_any(both, no_deadline).value();
    LAB_CHECK(both[found]->error() == (found == 0 ? -1 : -2));
  });
}

// By callbacks.
TEST(fence_model, waiting_for_any_of_two_ends_with_either) {
  expect_safe_so_far(wait_for_any_of_two);
}

TEST(fence_model, one_sleep_on_any_of_two_ends_with_either) {
  settings with;
  with.has_futex_waitv = true;
  expect_safe_so_far(wait_for_any_of_two, with);
}

// --- Ops ---

constexpr backend_ops checking_ops{
    .poll =
        [](backend* data) noexcept {
          LAB_CHECK(issuer_data::of(data).is_alive.get());
          return 0;
        },
    .set_deadline = [](backend* data,
                       std::int64_t) noexcept { LAB_CHECK(issuer_data::of(data).is_alive.get()); },
    .retire =
        [](backend* data, retired_by) noexcept {
          issuer_data::of(data).is_alive.set(false);
          delete &issuer_data::of(data);
        }};

TEST(fence_model, an_op_never_meets_retired_data) {
  expect_safe([] {
    new_fence made = make_fence(new issuer_data(checking_ops));
    thread signal("signal", [&] { made.signal.signal(); });
    thread first("first", [&] { made.fence->poll(); });
    thread second("second", [&] { made.fence->set_deadline(INT64_C(1)); });
  });
}

TEST(fence_model, an_op_beside_a_callback) {
  const spinning instead_of_sleeping;
  expect_safe([] {
    new_fence made = make_fence(new issuer_data(checking_ops));
    cell<int> runs;
    cell<bool> added;
    {
      thread signal("signal", [&] { made.signal.signal(); });
      thread poll("poll", [&] { made.fence->poll(); });
      thread add("add", [&] {
        auto* node = new counting(runs, true);
        added.set(!made.fence->add_callback(*node));
        if (!added.get()) delete node;
      });
    }
    LAB_CHECK(runs.get() == (added.get() ? 1 : 0));
  });
}

// All three kinds of threads that the protocol was designed around. Prints how many executions a
// search at random gets through.
TEST(fence_model, signal_add_remove_and_op_at_random) {
  settings with;
  with.how = search::random;
  with.random_executions = 200'000;
  expect_safe_so_far(
      [] {
        new_fence made = make_fence(new issuer_data(checking_ops));
        cell<int> runs;
        thread signal("signal", [&] { made.signal.signal(-5); });
        thread poll("poll", [&] { made.fence->poll(); });
        thread remove("remove", [&] {
          auto* node = new counting(runs, false);
          if (!made.fence->add_callback(*node)) {
            const bool removed = made.fence->remove_callback(*node).value();
            LAB_CHECK(runs.get() == (removed ? 0 : 1));
          }
          delete node;
        });
      },
      with);
}

TEST(fence_model, when_quiesced_no_op_runs_and_retire_is_done) {
  struct module_data {
    cell<int> retired;
  };
  struct data_of_module : issuer_data {
    data_of_module(module_data& m, const backend_ops& table) : issuer_data(table), module(m) {}
    module_data& module;
  };
  static constexpr backend_ops ops{
      .poll =
          [](backend* data) noexcept {
            static_cast<void>(static_cast<data_of_module*>(data)->module.retired.get());
            return 0;
          },
      .retire =
          [](backend* data, retired_by) noexcept {
            auto* mine = static_cast<data_of_module*>(data);
            mine->module.retired.set(mine->module.retired.get() + 1);
            delete mine;
          }};
  expect_safe([] {
    auto* module = new module_data;
    new_fence made = make_fence(new data_of_module(*module, ops));
    thread issuer("issuer", [&] {
      made.signal.signal(-5);
      LAB_CHECK(!made.fence->wait_quiesced());
      LAB_CHECK(module->retired.get() == 1);
      delete module;  // unloaded
    });
    thread first("first", [&] { made.fence->poll(); });
    thread second("second", [&] { made.fence->poll(); });
  });
}

TEST(fence_model, an_op_may_signal_its_own_fence) {
  struct self_signaling : issuer_data {
    explicit self_signaling(const backend_ops& table) : issuer_data(table) {}
    signaler right;
  };
  static constexpr backend_ops ops{.poll =
                                       [](backend* data) noexcept {
                                         auto& mine = *static_cast<self_signaling*>(data);
                                         LAB_CHECK(mine.is_alive.get());
                                         settlement later;
                                         mine.right.decide(-9, later);
                                         later.settle();
                                         LAB_CHECK(mine.is_alive.get());
                                         return 0;
                                       },
                                   .retire =
                                       [](backend* data, retired_by) noexcept {
                                         auto* mine = static_cast<self_signaling*>(data);
                                         mine->is_alive.set(false);
                                         delete mine;
                                       }};
  expect_safe_so_far([] {
    auto* data = new self_signaling(ops);
    new_fence made = make_fence(data);
    data->right = made.signal.share();
    fence& f = *made.fence;
    {
      thread signal("signal", [&] { made.signal.signal(-5); });
      thread poll("poll", [&] { f.poll(); });
      thread wait("wait", [&] {
        LAB_CHECK(!f.wait_quiesced());
        LAB_CHECK(f.error() == -5 || f.error() == -9);
      });
    }
    LAB_CHECK(f.is_settled());
  });
}

TEST(fence_model, enable_signaling_runs_at_most_once) {
  static constexpr backend_ops ops{
      .enable_signaling =
          [](backend* data) noexcept {
            LAB_CHECK(issuer_data::of(data).is_alive.get());
            issuer_data::of(data).is_alive.set(true);  // a second one would race
            return 0;
          },
      .retire = [](backend* data, retired_by) noexcept { delete &issuer_data::of(data); }};
  expect_safe([] {
    new_fence made = make_fence(new issuer_data(ops));
    thread signal("signal", [&] { made.signal.signal(); });
    thread first("first", [&] { made.fence->enable_signaling(); });
    thread second("second", [&] { made.fence->enable_signaling(); });
  });
}

// The issuer has a list of what is pending under its own lock, taken where it signals, in
// enable_signaling and in retire. An enable that comes late links the data after the decision.
struct issuer {
  struct entry : issuer_data {
    explicit entry(issuer& i) : issuer_data(ops), owner(i) {}
    static int enable(backend* data) noexcept;
    static void retire(backend* data, retired_by) noexcept;
    static constexpr backend_ops ops{.enable_signaling = &entry::enable, .retire = &entry::retire};
    issuer& owner;
    cell<bool> linked;
  };
  user_lock lock;
  cell<entry*> pending;
};

int issuer::entry::enable(backend* data) noexcept {
  auto& mine = *static_cast<entry*>(data);
  mine.owner.lock.lock();
  mine.linked.set(true);
  mine.owner.pending.set(&mine);
  mine.owner.lock.unlock();
  return 0;
}

void issuer::entry::retire(backend* data, retired_by) noexcept {
  auto* mine = static_cast<entry*>(data);
  issuer& owner = mine->owner;
  owner.lock.lock();
  if (mine->linked.get()) owner.pending.set(nullptr);
  owner.lock.unlock();
  delete mine;
}

TEST(fence_model, retire_takes_the_issuers_lock_and_undoes_a_late_enable) {
  expect_safe([] {
    issuer device;
    new_fence made = make_fence(new issuer::entry(device));
    {
      thread interrupt("interrupt", [&] {
        settlement later;
        device.lock.lock();
        made.signal.decide(0, later);
        if (issuer::entry* first = device.pending.get()) {
          first->linked.set(false);
          device.pending.set(nullptr);
        }
        device.lock.unlock();
      });
      thread enable("enable", [&] { made.fence->enable_signaling(); });
    }
    LAB_CHECK(device.pending.get() == nullptr);
    LAB_CHECK(!made.fence->wait_quiesced());
  });
}

// --- References ---

TEST(fence_model, the_last_reference_frees_after_all_uses) {
  expect_safe([] {
    new_fence made = make_fence();
    fence_ref one = made.fence;
    fence_ref two = std::move(made.fence);
    signaler right = std::move(made.signal);
    thread signal("signal", [&] { right.signal(-5); });
    const auto look = [](fence_ref& mine) {
      if (mine->is_signaled()) LAB_CHECK(mine->error() == -5);
      mine.reset();
    };
    thread first("first", [&] { look(one); });
    thread second("second", [&] { look(two); });
  });
}

TEST(fence_model, a_reference_through_a_slot_is_to_the_fence_that_the_slot_holds) {
  expect_safe([] {
    new_fence made = make_fence();
    signaler right = std::move(made.signal);
    atomic<fence*> slot{made.fence.get()};
    atomic<fence*> other_slot{nullptr};
    // The slot owns a reference; what it held goes, and its memory is used again at once.
    thread writer("writer", [&] {
      fence_ref old = std::move(made.fence);
      slot.store(nullptr, mo::release);
      right.signal(-5);
      right = {};
      old.reset();
      new_fence next = fence::create(7, 2).value();
      next.signal.signal(-6);
      other_slot.store(next.fence.get(), mo::release);
      made.fence = std::move(next.fence);
    });
    thread reader("reader", [&] {
      if (const fence_ref f = fence::get_rcu(slot)) {
        LAB_CHECK(f->seqno() == 1);
        if (f->is_signaled()) LAB_CHECK(f->error() == -5);
      }
      if (const fence_ref f = fence::get_rcu(other_slot)) LAB_CHECK(f->error() == -6);
    });
  });
}

}  // namespace
}  // namespace ufence::lab
