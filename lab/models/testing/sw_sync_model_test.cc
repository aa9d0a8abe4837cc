// Software timelines, explored.
#include "ufence/sync/sw_sync.h"

#include "lab/models/testing/harness.h"
#include "ufence/rcu/rcu.h"

namespace ufence::lab {
namespace {

TEST(sw_sync_model, the_last_reference_frees_the_timeline_after_all_uses) {
  expect_safe([] {
    sw_sync line = sw_sync::create("line").value();
    fence_ref point = line.create_fence(1).value();
    {
      thread close("close", [&] { const sw_sync closed = std::move(line); });
      thread drop("drop", [&] {
        point.reset();
        rcu::flush_deferred();
      });
    }
    rcu::flush_deferred();
  });
}

TEST(sw_sync_model, a_point_ends_once_beside_its_last_reference) {
  expect_safe([] {
    {
      sw_sync line = sw_sync::create("line").value();
      fence_ref mine = line.create_fence(1).value();
      cell<int> work;
      {
        thread signal("signal", [&] { work.set(1), line.increment(1); });
        thread again("again", [&] {
          const fence_ref same = line.create_fence(1).value();
          if (same->is_signaled()) LAB_CHECK(work.get() == 1);
        });
        thread drop("drop", [&] { mine.reset(); });
      }
      LAB_CHECK(line.value() == 1);
    }
    rcu::flush_deferred();
  });
}

}  // namespace
}  // namespace ufence::lab
