// Timelines, explored: completing against awaiting, looking, closing, a device that must be told.
#include "ufence/fence/timeline.h"

#include <optional>

#include "lab/models/testing/harness.h"
#include "ufence/fence/wait.h"

namespace ufence::lab {
namespace {

constexpr auto seq_cst = std::memory_order_seq_cst;

timeline_issuer make_line(const timeline_options& options = {}) {
  return timeline_issuer::create(options).value();
}

// A callback on a fence, added by a thread: it runs once if it was added, else never.
class observer {
 public:
  void add(fence& f) {
    const std::error_code failed = f.add_callback(node_);
    LAB_CHECK(!failed || failed == errno_code(ENOENT));
    was_added_.set(!failed);
  }
  void check() const { LAB_CHECK(runs_.get() == (was_added_.get() ? 1 : 0)); }
  [[nodiscard]] int runs() const { return runs_.get(); }

 private:
  cell<int> runs_;
  cell<bool> was_added_;
  counting node_{runs_, false};
};

// --- Completing against awaiting ---

TEST(timeline_model, a_callback_that_is_added_while_its_seqno_completes_is_not_lost) {
  expect_safe([] {
    timeline_issuer line = make_line();
    const fence_ref f = line.emit().value();
    observer sees;
    {
      thread signal("signal", [&] { line.signal_up_to(1); });
      thread add("add", [&] { sees.add(*f); });
    }
    sees.check();
    LAB_CHECK(f->is_settled() && f->status() == 1);
  });
}

TEST(timeline_model, two_signallers_against_two_awaited_seqnos) {
  expect_safe([] {
    timeline_issuer line = make_line();
    const fence_ref one = line.emit().value();
    const fence_ref two = line.emit().value();
    observer sees_one, sees_two;
    {
      thread first("first", [&] { line.signal_up_to(1); });
      thread second("second", [&] { line.signal_up_to(2); });
      thread add("add", [&] { sees_one.add(*one), sees_two.add(*two); });
    }
    sees_one.check();
    sees_two.check();
    LAB_CHECK(one->is_settled() && two->is_settled());
  });
}

TEST(timeline_model, seqnos_are_awaited_by_two_threads_while_one_completes) {
  expect_safe([] {
    timeline_issuer line = make_line();
    const fence_ref one = line.emit().value();
    const fence_ref two = line.emit().value();
    observer sees_one, sees_two;
    {
      thread signal("signal", [&] { line.signal_up_to(2); });
      thread first("first", [&] { sees_one.add(*one); });
      thread second("second", [&] { sees_two.add(*two); });
    }
    sees_one.check();
    sees_two.check();
  });
}

TEST(timeline_model, a_waiter_is_woken_by_the_value) {
  expect_safe([] {
    timeline_issuer line = make_line();
    const fence_ref f = line.emit().value();
    cell<int> work;
    thread signal("signal", [&] { work.set(1), line.signal_up_to(1); });
    thread wait("wait", [&] {
      LAB_CHECK(!f->wait());
      LAB_CHECK(work.get() == 1 && f->status() == 1);
    });
  });
}

// --- Looking ---

TEST(timeline_model, the_first_observer_marks_while_others_add_and_drain) {
  expect_safe_so_far([] {
    timeline_issuer line = make_line();
    const fence_ref f = line.emit().value();
    observer sees;
    cell<int> work;
    {
      thread signal("signal", [&] { work.set(1), line.signal_up_to(1); });
      thread add("add", [&] { sees.add(*f); });
      thread look("look", [&] {
        if (!f->is_signaled()) return;
        LAB_CHECK(work.get() == 1 && f->status() == 1 && f->timestamp_ns() != 0);
      });
    }
    sees.check();
    LAB_CHECK(f->is_settled());
  });
}

// Awaited, its callback is gone, and marked by a thread that looks: the thread that drains it settles it and adds
// nothing.
TEST(timeline_model, what_is_drained_without_a_callback_is_settled_with_all_that_was_before) {
  expect_safe_so_far([] {
    timeline_issuer line = make_line();
    const fence_ref f = line.emit().value();
    cell<int> work, runs;
    counting node(runs, false);
    LAB_CHECK(!f->add_callback(node));
    LAB_CHECK(f->remove_callback(node).value());
    thread signal("signal", [&] { work.set(1), line.signal_up_to(1); });
    thread mark("mark", [&] { static_cast<void>(f->is_signaled()); });
    thread look("look", [&] {
      if (!f->is_settled()) return;
      LAB_CHECK(work.get() == 1 && f->status() == 1 && f->timestamp_ns() != 0);
    });
  });
}

TEST(timeline_model, who_finds_it_settled_sees_what_callbacks_and_signaller_wrote) {
  expect_safe_so_far([] {
    timeline_issuer line = make_line();
    const fence_ref f = line.emit().value();
    observer sees;
    sees.add(*f);
    thread signal("signal", [&] { line.signal_up_to(1); });
    thread look("look", [&] {
      if (f->is_settled()) LAB_CHECK(sees.runs() == 1);
    });
    thread wait("wait", [&] {
      LAB_CHECK(!f->wait_settled());
      LAB_CHECK(sees.runs() == 1);
    });
  });
}

TEST(timeline_model, an_awaited_fence_without_callbacks_is_settled_by_its_drain) {
  expect_safe_so_far([] {
    timeline_issuer line = make_line();
    const fence_ref f = line.emit().value();
    cell<int> work;
    f->enable_signaling();
    thread signal("signal", [&] { work.set(1), line.signal_up_to(1); });
    thread look("look", [&] { static_cast<void>(f->is_signaled()); });
    thread settled("settled", [&] {
      if (f->is_settled()) LAB_CHECK(work.get() == 1 && f->status() == 1);
    });
  });
}

TEST(timeline_model, the_value_itself_publishes) {
  expect_safe([] {
    timeline_issuer line = make_line();
    const timeline_ref shared = line.line();
    cell<int> work, last_words;
    {
      thread signal("signal", [&] {
        work.set(1);
        line.signal_up_to(1);
        last_words.set(1);
        line.fail(-5);
      });
      thread look("look", [&] {
        if (shared->completed() == 1) LAB_CHECK(work.get() == 1);
      });
      thread closed("closed", [&] {
        if (shared->is_closed()) LAB_CHECK(last_words.get() == 1);
      });
    }
  });
}

// --- Closing, and one fence by itself ---

TEST(timeline_model, closing_against_completing_and_adding) {
  expect_safe([] {
    timeline_issuer line = make_line();
    const fence_ref f = line.emit().value();
    observer sees;
    {
      thread signal("signal", [&] { line.signal_up_to(1); });
      thread close("close", [&] { line.fail(-5); });
      thread add("add", [&] { sees.add(*f); });
    }
    sees.check();
    LAB_CHECK(f->is_settled() && (f->status() == 1 || f->status() == -5));
  });
}

TEST(timeline_model, what_closing_ends_has_its_error_for_all_who_look) {
  expect_safe([] {
    timeline_issuer line = make_line();
    const fence_ref f = line.emit().value();
    cell<int> work;
    thread close("close", [&] { work.set(1), line.fail(-5); });
    const auto look = [&] {
      if (f->is_signaled()) LAB_CHECK(f->error() == -5 && work.get() == 1);
    };
    thread first("first", look);
    thread second("second", look);
  });
}

TEST(timeline_model, closing_wakes_who_began_to_await_meanwhile) {
  expect_safe([] {
    timeline_issuer line = make_line();
    const fence_ref f = line.emit().value();
    thread close("close", [&] { line.fail(-5); });
    thread wait("wait", [&] { LAB_CHECK(!f->wait() && f->error() == -5); });
  });
}

TEST(timeline_model, one_fence_is_signaled_by_itself_against_the_value_and_an_adder) {
  expect_safe_so_far([] {
    timeline_issuer line = make_line();
    const fence_ref f = line.emit().value();
    observer sees;
    cell<bool> won;
    {
      thread signal("signal", [&] { line.signal_up_to(1); });
      thread alone("alone", [&] { won.set(line.signal(*f, -7)); });
      thread add("add", [&] { sees.add(*f); });
    }
    sees.check();
    LAB_CHECK(f->is_settled() && f->status() == (won.get() ? -7 : 1));
  });
}

// --- A fence that is kept for an earlier one (F19) ---

// What a consumer sees that has dropped the first fence for the second one.
void expect_in_order(fence& kept, fence& dropped) {
  if (kept.is_signaled()) LAB_CHECK(dropped.is_signaled());
}

TEST(timeline_model, a_fence_that_is_kept_for_an_earlier_one_does_not_overtake_it) {
  expect_safe_so_far([] {
    timeline_issuer line = make_line();
    const fence_ref first = line.emit().value();
    const fence_ref second = line.emit().value();
    {
      thread alone("alone", [&] { LAB_CHECK(line.signal(*second, -7)); });
      thread value("value", [&] { line.signal_up_to(1); });
      thread keep("keep", [&] {
        if (second->stands_for(*first)) expect_in_order(*second, *first);
      });
    }
    LAB_CHECK(second->is_settled() && second->status() == -7);
    LAB_CHECK(first->is_settled() && first->status() == 1);
  });
}

TEST(timeline_model, of_fences_that_are_signaled_alone_each_has_its_turn) {
  expect_safe_so_far([] {
    timeline_issuer line = make_line();
    const fence_ref first = line.emit().value();
    const fence_ref second = line.emit().value();
    LAB_CHECK(second->stands_for(*first));
    observer sees;
    sees.add(*second);
    {
      thread one("one", [&] { LAB_CHECK(line.signal(*first)); });
      thread two("two", [&] { LAB_CHECK(line.signal(*second, -7)); });
      thread look("look", [&] { expect_in_order(*second, *first); });
    }
    sees.check();
    LAB_CHECK(second->is_settled() && second->status() == -7);
  });
}

// --- Devices ---

// A device writes its word and raises an interrupt, if that is on: request_notify() turns it on.
struct device : backend {
  device() : backend{&ops} {}
  static void request_notify(backend* data, std::uint64_t) noexcept {
    static_cast<device*>(data)->interrupts.store(1, seq_cst);
  }
  static void retire(backend* data, retired_by) noexcept {
    auto& self = *static_cast<device*>(data);
    self.retires.set(self.retires.get() + 1);
  }
  static constexpr backend_ops ops{.retire = &device::retire,
                                   .request_notify = &device::request_notify};

  void complete(timeline_issuer& line, std::uint32_t seqno) {
    work.set(static_cast<int>(seqno));
    word.store(seqno, seq_cst);
    if (interrupts.load(seq_cst) != 0) LAB_CHECK(!line.notify());
  }

  atomic<std::uint32_t> word{0};
  atomic<int> interrupts{0};
  cell<int> work, retires;
};

TEST(timeline_model, a_completion_that_was_written_while_the_device_is_told_is_not_lost) {
  expect_safe([] {
    device gpu;
    timeline_issuer line = make_line({.data = &gpu, .device_word = &gpu.word});
    const fence_ref f = line.emit().value();
    {
      thread completes("device", [&] { gpu.complete(line, 1); });
      thread wait("wait", [&] {
        LAB_CHECK(!f->wait());
        LAB_CHECK(gpu.work.get() == 1);
      });
    }
    line.fail(-5);
    LAB_CHECK(!line.wait_quiesced() && gpu.retires.get() == 1);
  });
}

TEST(timeline_model, the_device_is_told_of_the_next_minimum) {
  expect_safe([] {
    device gpu;
    timeline_issuer line = make_line({.data = &gpu, .device_word = &gpu.word});
    const fence_ref one = line.emit().value();
    const fence_ref two = line.emit().value();
    observer sees_one, sees_two;
    sees_one.add(*one);
    {
      thread completes("device", [&] {
        gpu.complete(line, 1);
        gpu.interrupts.store(0, seq_cst);  // each request_notify() is good for one
        gpu.complete(line, 2);
      });
      thread add("add", [&] { sees_two.add(*two); });
    }
    line.fail(-5);
    sees_one.check();
    sees_two.check();
    LAB_CHECK(one->status() == 1);
    LAB_CHECK(gpu.retires.get() == 1);
  });
}

struct checked_data : issuer_data {
  checked_data() : issuer_data(ops) {}
  static void set_deadline(backend* data, std::int64_t) noexcept {
    LAB_CHECK(of(data).is_alive.get());
  }
  static void retire(backend* data, retired_by) noexcept {
    delete static_cast<checked_data*>(data);
  }
  static constexpr backend_ops ops{.set_deadline = &set_deadline, .retire = &retire};
};

TEST(timeline_model, ops_of_the_timeline_end_before_it_is_retired) {
  expect_safe([] {
    timeline_issuer line = make_line({.data = new checked_data});
    const fence_ref f = line.emit().value();
    thread close("close", [&] { line.fail(-5); });
    thread first("first", [&] { f->set_deadline(INT64_C(1)); });
    thread second("second", [&] { f->set_deadline(INT64_C(2)); });
  });
}

// --- References ---

TEST(timeline_model, is_freed_with_its_last_reference_after_all_uses) {
  expect_safe([] {
    std::optional<timeline_issuer> line = make_line();
    fence_ref one = line->emit().value();
    fence_ref two = line->emit().value();
    line->signal_up_to(2);
    thread issuer("issuer", [&] { line.reset(); });
    thread first("first", [&] {
      LAB_CHECK(one->driver_name().empty() && one->is_signaled());
      one.reset();
    });
    thread second("second", [&] { two.reset(); });
  });
}

}  // namespace
}  // namespace ufence::lab
