// What an unload waits for, explored: threads inside the module, data that is not retired,
// callbacks of the module on fences of others.
#include <optional>

#include "lab/models/testing/harness.h"
#include "ufence/fence/thread_state.h"
#include "ufence/fence/timeline.h"
#include "ufence/issuer/counters.h"

namespace ufence::lab {
namespace {

// The globals and the code of a module: used while it is mapped.
struct mapping_of_module {
  void use() { LAB_CHECK(is_mapped.get()); }
  cell<bool> is_mapped{true};
  ufence::detail::module_gate gate;
  ufence::detail::zero_counter unretired;
};

// --- Entering against closing ---

TEST(issuer_model, nobody_is_inside_a_module_that_is_unmapped) {
  expect_safe([] {
    auto* module = new mapping_of_module;
    const auto enter = [&] {
      if (!module->gate.enter()) return;
      module->use();
      module->gate.leave();
    };
    cell<bool> unmapped;
    {
      thread first("first", enter);
      thread second("second", enter);
      thread unload("unload", [&] {
        module->gate.close();
        LAB_CHECK(module->gate.wait_empty(no_deadline) == 0);
        module->is_mapped.set(false);
      });
    }
    delete module;
  });
}

TEST(issuer_model, closing_itself_shows_what_those_did_who_have_left) {
  expect_safe([] {
    mapping_of_module module;
    cell<int> work;
    atomic<int> left{0};
    thread enter("enter", [&] {
      if (!module.gate.enter()) return;
      work.set(1);
      module.gate.leave();
      left.store(1, mo::relaxed);
    });
    thread unload("unload", [&] {
      if (left.load(mo::relaxed) == 0) return;
      module.gate.close();
      LAB_CHECK(work.get() == 1);
    });
  });
}

// --- Data that is not retired ---

// A job's data: its module may be unmapped as soon as the count of data is 0.
struct job : issuer_data {
  explicit job(mapping_of_module& m) : issuer_data(ops), module(m) { module.unretired.add(); }
  static int poll(backend* data) noexcept {
    mapping_of_module& module = static_cast<job*>(data)->module;
    if (!module.gate.enter()) return 0;
    module.use();
    LAB_CHECK(of(data).is_alive.get());
    module.gate.leave();
    return 0;
  }
  static void retire(backend* data, retired_by) noexcept {
    auto* self = static_cast<job*>(data);
    mapping_of_module& module = self->module;
    module.use();
    delete self;
    module.unretired.sub();
  }
  static constexpr backend_ops ops{.poll = &job::poll, .retire = &job::retire};
  mapping_of_module& module;
};

TEST(issuer_model, the_last_op_retires_before_the_module_is_unmapped) {
  expect_safe([] {
    auto* module = new mapping_of_module;
    new_fence made = make_fence(new job(*module));
    thread unload("unload", [&] {
      module->gate.close();
      made.signal.signal(-ECANCELED);
      LAB_CHECK(module->gate.wait_empty(no_deadline) == 0);
      LAB_CHECK(module->unretired.wait_zero(no_deadline) == 0);
      delete module;
    });
    thread first("first", [&] { made.fence->poll(); });
    thread second("second", [&] { made.fence->poll(); });
  });
}

TEST(issuer_model, the_count_of_data_shows_what_retires_did) {
  expect_safe([] {
    auto* module = new mapping_of_module;
    new_fence one = make_fence(new job(*module));
    new_fence two = make_fence(new job(*module));
    thread first("first", [&] { one.signal.signal(); });
    thread second("second", [&] { two.signal.signal(); });
    thread unload("unload", [&] {
      LAB_CHECK(module->unretired.wait_zero(no_deadline) == 0);
      delete module;
    });
  });
}

// The issuer's own work on a fence is an op: retire waits for it.
TEST(issuer_model, what_the_issuer_does_inside_its_op_ends_before_retire) {
  expect_safe([] {
    auto* module = new mapping_of_module;
    auto* data = new job(*module);
    new_fence made = make_fence(data);
    {
      thread submit("submit", [&] {
        const issuer_op op(*made.fence);
        if (op) LAB_CHECK(data->is_alive.get());
      });
      thread signal("signal", [&] { made.signal.signal(); });
    }
    LAB_CHECK(module->unretired.wait_zero(0) == 0);
    delete module;
  });
}

// --- Callbacks of the module on fences of others ---

struct module_callback : callback {
  module_callback(cell<bool>& mapped, cell<bool>& ran)
      : callback(&module_callback::run), is_mapped_(mapped), has_run_(ran) {}
  static void run(callback& node, fence&) noexcept {
    auto* self = static_cast<module_callback*>(&node);
    LAB_CHECK(self->is_mapped_.get());
    self->has_run_.set(true);
    delete self;
  }

 private:
  cell<bool>& is_mapped_;
  cell<bool>& has_run_;
};

TEST(issuer_model, no_callback_of_a_module_runs_once_its_group_is_closed) {
  expect_safe_so_far([] {
    new_fence fences[2] = {make_fence(), make_fence()};
    callback_group group;
    cell<bool> is_mapped{true};
    cell<bool> has_run[2];
    module_callback* nodes[2];
    for (int i : {0, 1}) {
      nodes[i] = new module_callback(is_mapped, has_run[i]);
      LAB_CHECK(!fences[i].fence->add_callback(*nodes[i], &group));
    }
    std::size_t removed = 0;
    {
      thread first("first", [&] { fences[0].signal.signal(); });
      thread second("second", [&] { fences[1].signal.signal(); });
      thread unload("unload", [&] {
        LAB_CHECK(!group.close(&removed));
        is_mapped.set(false);
      });
    }
    for (int i : {0, 1}) {
      if (has_run[i].get()) continue;
      delete nodes[i];
      --removed;
    }
    LAB_CHECK(removed == 0);
  });
}

TEST(issuer_model, a_registration_meets_the_closing_of_its_group) {
  expect_safe_so_far([] {
    new_fence made = make_fence();
    callback_group group;
    cell<bool> is_mapped{true};
    cell<bool> has_run;
    auto* node = new module_callback(is_mapped, has_run);
    {
      thread add("add", [&] {
        const std::error_code failed = made.fence->add_callback(*node, &group);
        LAB_CHECK(!failed || failed == errno_code(ENOENT) || failed == errno_code(ESHUTDOWN));
      });
      thread signal("signal", [&] { made.signal.signal(); });
      thread unload("unload", [&] {
        LAB_CHECK(!group.close());
        is_mapped.set(false);
      });
    }
    if (!has_run.get()) delete node;
  });
}

}  // namespace
}  // namespace ufence::lab
