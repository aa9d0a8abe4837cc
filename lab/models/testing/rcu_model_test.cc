// Publishing, grace periods and deferred frees, explored.
#include "ufence/rcu/rcu.h"

#include <array>

#include "lab/models/system.h"
#include "lab/models/testing/harness.h"
#include "ufence/fence/report.h"

namespace ufence::lab {
namespace {

struct published_data {
  cell<int> value{1};
};

TEST(rcu_model, what_a_reader_reached_stays_until_its_section_ends) {
  expect_safe([] {
    atomic<published_data*> slot{nullptr};
    const auto read = [&] {
      const rcu::read_section section;
      if (const published_data* data = rcu::dereference(slot)) LAB_CHECK(data->value.get() == 1);
    };
    thread write("write", [&] {
      auto* data = new published_data;
      rcu::publish(slot, data);
      rcu::publish<published_data>(slot, nullptr);
      rcu::synchronize();
      delete data;
    });
    thread first("first", read);
    thread second("second", read);
  });
}

struct deferred_data : rcu::deferred {
  explicit deferred_data(cell<int>& count) : frees(count) {}
  static void free(rcu::deferred* node) noexcept {
    auto* data = static_cast<deferred_data*>(node);
    data->frees.set(data->frees.get() + 1);
    delete data;
  }
  cell<int>& frees;
  cell<bool> is_alive{true};
};

TEST(rcu_model, what_was_deferred_is_freed_when_a_flush_returns) {
  expect_safe([] {
    cell<int> frees;
    auto* data = new deferred_data(frees);
    rcu::defer(*data, &deferred_data::free);
    const auto flush = [&] {
      rcu::flush_deferred();
      LAB_CHECK(frees.get() == 1);
    };
    thread first("first", flush);
    thread second("second", flush);
  });
}

TEST(rcu_model, what_one_thread_deferred_another_frees) {
  expect_safe([] {
    cell<int> frees;
    const auto defer_one = [&] { rcu::defer(*new deferred_data(frees), &deferred_data::free); };
    defer_one();
    {
      thread defer("defer", defer_one);
      thread flush("flush", [] { rcu::flush_deferred(); });
    }
    rcu::flush_deferred();
    LAB_CHECK(frees.get() == 2);
  });
}

TEST(rcu_model, a_deferred_free_waits_for_readers) {
  expect_safe([] {
    cell<int> frees;
    atomic<deferred_data*> slot{new deferred_data(frees)};
    thread reader("reader", [&] {
      const rcu::read_section section;
      if (const deferred_data* data = rcu::dereference(slot)) LAB_CHECK(data->is_alive.get());
    });
    thread writer("writer", [&] {
      rcu::defer(*slot.exchange(nullptr, mo::relaxed), &deferred_data::free);
      rcu::flush_deferred();
      LAB_CHECK(frees.get() == 1);
    });
  });
}

// The thread that frees begins with the first batch, is asked again while it works, sleeps or ends,
// and frees what a reader can't see any more. What it leaves, a flush frees.
TEST(rcu_model, makers_have_batches_freed_by_the_thread_for_it) {
  struct counted : rcu::deferred {
    static void free(rcu::deferred* node) noexcept {
      auto& self = *static_cast<counted*>(node);
      LAB_CHECK(!self.is_freed.get());
      self.is_freed.set(true);
    }
    cell<bool> is_freed{false};
  };
  const auto body = [] {
    constexpr std::size_t batch = 128;
    std::array<counted, 2 * batch> nodes;
    const auto defer_batch = [&](std::size_t first) {
      for (std::size_t i = 0; i < batch; ++i) rcu::defer(nodes[first + i], &counted::free);
    };
    atomic<counted*> slot{nodes.data()};
    {
      thread own("own", run_own_thread);
      thread reader("reader", [&] {
        const rcu::read_section section;
        if (const counted* seen = rcu::dereference(slot)) LAB_CHECK(!seen->is_freed.get());
      });
      thread maker("maker", [&] {
        slot.store(nullptr, mo::relaxed);
        defer_batch(0);
        rcu::reclaim();
        defer_batch(batch);
        rcu::reclaim();
        rcu::reclaim();
      });
    }
    rcu::flush_deferred();
    for (const counted& node : nodes) LAB_CHECK(node.is_freed.get());
  };
  settings with;
  with.explore_timeouts = true;
  expect_safe_so_far(body, with);
}

// The thread ends beside one that defers: it frees what that has left to it, or another one is started.
TEST(rcu_model, what_has_to_run_is_left_by_no_thread_that_ends) {
  struct counted : rcu::deferred {
    static void free(rcu::deferred* node) noexcept { static_cast<counted*>(node)->is_freed.set(true); }
    cell<bool> is_freed{false};
  };
  settings with;
  with.explore_timeouts = true;
  const auto body = [] {
    counted first, second;
    rcu::defer(first, &counted::free);
    rcu::ensure_run();
    LAB_CHECK(own_threads_started() == 1);
    {
      thread own("own", run_own_thread);
      thread maker("maker", [&] {
        rcu::defer(second, &counted::free);
        rcu::ensure_run();
      });
    }
    LAB_CHECK(first.is_freed.get());
    LAB_CHECK(second.is_freed.get() || own_threads_started() == 2);
    rcu::flush_deferred();
    LAB_CHECK(second.is_freed.get());
  };
  expect_safe(body, with);
}

// A maker frees memory only if no reader may see it, and what it can't free is freed by a flush, also by
// one that meets it.
TEST(rcu_model, a_maker_frees_what_no_reader_sees_and_a_flush_the_rest) {
  struct counted : rcu::deferred {
    static void free(rcu::deferred* node) noexcept {
      auto& self = *static_cast<counted*>(node);
      LAB_CHECK(!self.is_freed.get());
      self.is_freed.set(true);
    }
    cell<bool> is_freed{false};
  };
  expect_safe([] {
    counted node;
    atomic<counted*> slot{&node};
    const auto read = [&] {
      const rcu::read_section section;
      if (const counted* seen = rcu::dereference(slot)) LAB_CHECK(!seen->is_freed.get());
    };
    {
      thread reader("reader", read);
      thread maker("maker", [&] {
        slot.store(nullptr, mo::relaxed);
        constexpr std::size_t a_batch = std::size_t{64} * 1024;
        rcu::defer_memory(node, a_batch, &counted::free);
        rcu::reclaim();
      });
    }
    rcu::flush_deferred();
    LAB_CHECK(node.is_freed.get());
  });
}

TEST(rcu_model, a_flush_beside_a_maker_frees_what_was_deferred_before) {
  struct counted : rcu::deferred {
    static void free(rcu::deferred* node) noexcept {
      static_cast<counted*>(node)->is_freed.set(true);
    }
    cell<bool> is_freed{false};
  };
  expect_safe([] {
    counted node;
    constexpr std::size_t a_batch = std::size_t{64} * 1024;
    rcu::defer_memory(node, a_batch, &counted::free);
    {
      thread reader("reader", [] { const rcu::read_section section; });
      thread maker("maker", [] { rcu::reclaim(); });
      thread flush("flush", [&] {
        rcu::flush_deferred();
        LAB_CHECK(node.is_freed.get());
      });
    }
  });
}

// What a handler is called with.
struct audience {
  static void hear(const ufence::report&, void* self) noexcept {
    LAB_CHECK(static_cast<audience*>(self)->is_listening.get());
  }
  cell<bool> is_listening{true};
};

TEST(rcu_model, a_report_handler_is_not_called_any_more_once_it_was_replaced) {
  expect_safe_so_far([] {
    static constexpr auto say_nothing = [](const ufence::report&, void*) noexcept {};
    LAB_CHECK(!set_report_handler(say_nothing, nullptr));
    {
      thread first("first", [&] {
        auto* listener = new audience;
        LAB_CHECK(!set_report_handler(&audience::hear, listener));
        LAB_CHECK(!set_report_handler(say_nothing, nullptr));
        delete listener;
      });
      thread report("report", [&] {
        send_report({.kind = report_kind::driver,
                     .context = 1,
                     .seqno = 1,
                     .driver_name = "driver",
                     .timeline_name = "timeline",
                     .text = "a report"});
      });
    }
    LAB_CHECK(!set_report_handler(nullptr, nullptr));
  });
}

TEST(rcu_model, two_threads_replace_the_report_handler) {
  expect_safe([] {
    static constexpr auto say_nothing = [](const ufence::report&, void*) noexcept {};
    {
      const auto replace = [&] { LAB_CHECK(!set_report_handler(say_nothing, nullptr)); };
      thread first("first", replace);
      thread second("second", replace);
    }
    LAB_CHECK(!set_report_handler(nullptr, nullptr));
  });
}

}  // namespace
}  // namespace ufence::lab
