// Each allocation fails once: -ENOMEM, and all is as it was. Built with the sources of the layers
// and the double of ufence/base/alloc.h.
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <vector>

#include "ufence/base/alloc.h"
#include "ufence/fence/testing/fail_each.h"
#include "ufence/sync/shared_timeline.h"
#include "ufence/sync/syncobj_file.h"
#include "ufence/sync/syncobj_table.h"
#include "ufence/syncobj/testing/syncobj_support.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

// Holds all free slots of the slabs, so that the next fence needs memory.
class drained_slabs {
 public:
  drained_slabs() {
    allocations::refuse_all = 1;
    while (result<new_fence> made = fence::create(1, 1)) held_.push_back(std::move(*made));
    allocations::refuse_all = 0;
  }
  ~drained_slabs() {
    for (new_fence& made : held_) made.signal.signal();
  }
  drained_slabs(const drained_slabs&) = delete;
  drained_slabs& operator=(const drained_slabs&) = delete;

 private:
  std::vector<new_fence> held_;
};

template <class T>
std::error_code error_of(const result<T>& r) {
  return r ? no_error : r.error();
}

}  // namespace

TEST(syncobj_allocation_failure, of_a_syncobj) {
  const drained_slabs drained;
  EXPECT_EQ(fail_each([] { return error_of(syncobj::create(true)); }), 2);
}

TEST(syncobj_allocation_failure, R24_adding_a_point_takes_nothing) {
  const syncobj_ref object = syncobj::create().value();
  new_fence made = make_fence();
  EXPECT_EQ(object->signal_point(1), no_error);
  EXPECT_EQ(fail_each([&] { return object->add_point(made.fence, 5); },
                      [&] { EXPECT_EQ(object->last_submitted(), result<std::uint64_t>(1)); }),
            1);
  EXPECT_EQ(object->last_submitted(), result<std::uint64_t>(5));
  made.signal.signal();
}

TEST(syncobj_allocation_failure, of_a_transfer_takes_nothing) {
  const syncobj_ref from = syncobj::create().value();
  const syncobj_ref to = syncobj::create().value();
  std::array<new_fence, 2> made = {make_fence(), make_fence()};
  EXPECT_EQ(from->add_point(made[0].fence, 1), no_error);
  EXPECT_EQ(from->add_point(made[1].fence, 2), no_error);
  EXPECT_GE(fail_each(
                [&] {
                  return transfer({from, 2}, {to, 7});
                },
                [&] { EXPECT_EQ(to->last_submitted(), result<std::uint64_t>(0)); }),
            2);
  EXPECT_EQ(to->last_submitted(), result<std::uint64_t>(7));
  for (new_fence& f : made) f.signal.signal();
}

TEST(syncobj_allocation_failure, of_waits_leaves_nothing_queued) {
  const drained_slabs drained;
  std::vector<syncobj_point> points;
  for (int i = 0; i < 9; ++i) points.push_back({syncobj::create().value(), 0});
  allocations::refuse_all = 1;
  EXPECT_EQ(wait(points, no_wait, {.for_submit = true}).error(), errno_code(ENOMEM)) << "the arrays";
  EXPECT_EQ(wait(std::span(points).first(1), no_wait, {.for_submit = true}).error(), errno_code(ENOMEM))
      << "the fence";
  EXPECT_EQ(points[0].object->find_fence_by(0, no_wait).error(), errno_code(ENOMEM));
  allocations::refuse_all = 0;
  EXPECT_EQ(wait(points, no_wait, {.for_submit = true}).error(), errno_code(ETIME));
}

TEST(syncobj_allocation_failure, of_an_event_leaves_nothing) {
  const drained_slabs drained;
  const event_counter event;
  const syncobj_ref object = syncobj::create().value();
  EXPECT_EQ(fail_each([&] { return object->notify(event.fd.get(), 1); }), 2);
  EXPECT_EQ(object->signal_point(1), no_error);
  EXPECT_EQ(event.take(), 1U) << "of the one that was queued";
}

TEST(syncobj_allocation_failure, of_signaling_points_signals_none) {
  syncobj_table table;
  const std::array hs = {table.create().value(), table.create().value()};
  const std::array<std::uint64_t, 2> ps = {3, 4};
  EXPECT_EQ(fail_each([&] { return table.signal_points(hs, ps); },
                      [&] { EXPECT_EQ(table.find(hs[0])->query(), result<std::uint64_t>(0)); }),
            2);
  EXPECT_EQ(table.find(hs[1])->query(), result<std::uint64_t>(4));
}

TEST(shared_timeline_allocation_failure, of_making_and_importing_one_leaves_nothing) {
  EXPECT_EQ(fail_each([] { return error_of(shared_timeline::create()); }), 1);
  const shared_timeline_ref line = shared_timeline::create().value();
  const unique_fd fd = line->export_fd(shared_access::wait).value();
  EXPECT_EQ(fail_each([&] { return error_of(shared_timeline::import(fd.get())); }), 1);
}

TEST(shared_timeline_allocation_failure, of_a_fence_leaves_nothing_pending) {
  const shared_timeline_ref line = shared_timeline::create().value();
  const drained_slabs drained;
  EXPECT_EQ(fail_each([&] {
              const result<fence_ref> f = line->fence_at(1);
              if (f) static_cast<void>(line->signal(1));
              return error_of(f);
            }),
            1);
}

TEST(syncobj_allocation_failure, of_exporting_one_leaves_nothing) {
  const syncobj_ref object = syncobj::create().value();
  EXPECT_GE(fail_each([&] { return error_of(syncobj_export(object)); }), 1);
}
