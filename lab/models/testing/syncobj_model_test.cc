// Syncobjs, explored: installing against waiting, and references.
#include "ufence/syncobj/syncobj.h"

#include "lab/models/testing/harness.h"

namespace ufence::lab {
namespace {

TEST(syncobj_model, who_waits_for_a_fence_to_be_there_is_told_when_it_is_installed) {
  expect_safe_so_far([] {
    {
      syncobj_ref object = syncobj::create().value();
      new_fence made = make_fence();
      cell<int> work;
      {
        thread install("install", [&] { LAB_CHECK(!object->replace_fence(made.fence)); });
        thread signal("signal", [&] { work.set(1), made.signal.signal(-5); });
        thread wait("wait", [&] {
          const syncobj_point points[] = {{.object = object}};
          LAB_CHECK(ufence::wait(points, no_deadline, {.for_submit = true}).has_value());
          LAB_CHECK(work.get() == 1);
        });
      }
      object.reset();
    }
    rcu::flush_deferred();
  });
}

TEST(syncobj_model, a_point_that_is_added_ends_the_wait_for_it) {
  expect_safe_so_far([] {
    {
      syncobj_ref object = syncobj::create().value();
      new_fence made = make_fence();
      {
        thread add("add", [&] { LAB_CHECK(!object->add_point(made.fence, 1)); });
        thread find("find", [&] {
          const fence_ref found = object->find_fence_by(1, no_deadline).value();
          LAB_CHECK(found->seqno() == 1);
        });
      }
      made.signal.signal();
      object.reset();
    }
    rcu::flush_deferred();
  });
}

TEST(syncobj_model, waiting_for_any_of_two_ends_with_an_install_or_a_signal) {
  expect_safe_so_far([] {
    {
      const syncobj_ref empty = syncobj::create().value();
      const syncobj_ref full = syncobj::create().value();
      new_fence installed = make_fence();
      new_fence pending = make_fence();
      LAB_CHECK(!full->replace_fence(pending.fence));
      installed.signal.signal(-5);
      cell<int> work[2];
      {
        thread install("install", [&] {
          work[0].set(1);
          LAB_CHECK(!empty->replace_fence(installed.fence));
        });
        thread signal("signal", [&] { work[1].set(1), pending.signal.signal(-7); });
        thread wait("wait", [&] {
          const syncobj_point points[] = {{.object = empty}, {.object = full}};
          const auto found = ufence::wait(points, no_deadline, {.for_submit = true}).value();
          LAB_CHECK(work[found].get() == 1);
        });
      }
    }
    rcu::flush_deferred();
  });
}

TEST(syncobj_model, the_last_reference_frees_after_all_uses) {
  expect_safe_so_far([] {
    {
      syncobj_ref one = syncobj::create().value();
      syncobj_ref two = one;
      syncobj_ref three = one;
      thread first("first", [&] {
        LAB_CHECK(!one->signal());
        one.reset();
      });
      thread second("second", [&] {
        static_cast<void>(two->current());
        two.reset();
      });
      three.reset();
    }
    rcu::flush_deferred();
  });
}

}  // namespace
}  // namespace ufence::lab
