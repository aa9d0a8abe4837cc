// The races of docs/CONTRACT.md that concern fences made of fences, and reservation objects.
#include <gtest/gtest.h>

#include <array>
#include <latch>
#include <thread>
#include <vector>

#include "ufence/container/array.h"
#include "ufence/container/container_test_support.h"
#include "ufence/container/resv.h"
#include "ufence/container/unwrap.h"
#include "ufence/rcu/rcu.h"

namespace ufence {
namespace {

// Work that is complete, as its poll op says; counts what it is asked, and what it tells.
struct complete_work : backend, callback {
  complete_work() : backend{&table}, callback(&complete_work::told) {
    made = *fence::create(fence::allocate_contexts(1), 1, this);
    static_cast<void>(made.fence->add_callback(*this));
    asked = 0;
  }
  ~complete_work() { made.signal.signal(); }
  static void told(callback& node, fence&) noexcept {
    ++static_cast<complete_work&>(node).callbacks;
  }

  static const backend_ops table;
  new_fence made;
  int asked = 0;
  int deadlines = 0;
  int callbacks = 0;
};
const backend_ops complete_work::table{
    .enable_signaling =
        [](backend* b) noexcept {
          ++static_cast<complete_work*>(b)->asked;
          return 0;
        },
    .poll =
        [](backend* b) noexcept {
          ++static_cast<complete_work*>(b)->asked;
          return 1;
        },
    .set_deadline = [](backend* b,
                       std::int64_t) noexcept { ++static_cast<complete_work*>(b)->deadlines; }};

// An array, a chain and a reservation object with one fence in them.
struct around {
  explicit around(const fence_ref& f)
      : array(*fence_array::create(std::array{f})), chain(*fence_chain::create(nullptr, f, 1)) {
    EXPECT_FALSE(object.lock());
    EXPECT_FALSE(object.reserve(1));
    EXPECT_FALSE(object.add(f, resv_usage::write));
    object.unlock();
  }
  fence_ref array;
  fence_ref chain;
  resv object;
};

TEST(R14_lost_reference, to_what_is_around_a_fence_signals_nothing) {
  new_fence f = make_fence();
  {
    const around all(f.fence);
    all.array->enable_signaling();
    EXPECT_EQ(all.chain->wait(no_wait), errno_code(ETIME));
  }
  EXPECT_EQ(f.fence->status(), 0);
  f.signal.signal();
  EXPECT_EQ(f.fence->status(), 1);
}

TEST(R15_looking, at_containers_calls_no_op_and_no_callback) {
  complete_work work;
  const around all(work.made.fence);
  EXPECT_FALSE(all.array->is_signaled());
  EXPECT_EQ(all.chain->status(), 0);
  EXPECT_FALSE(all.array->describe().empty());
  EXPECT_FALSE(all.object.test_signaled(resv_usage::write));
  EXPECT_EQ(all.object.get_fences(resv_usage::write)->size(), 1U);
  EXPECT_FALSE(all.object.describe().empty());
  EXPECT_EQ(*merge(std::array{all.array, all.chain}), work.made.fence);
  EXPECT_EQ(leaves_of(all.chain), (std::vector{work.made.fence.get()}));
  EXPECT_EQ(error_origin(all.array), nullptr);
  EXPECT_EQ(work.asked, 0);
  EXPECT_EQ(work.callbacks, 0);
  EXPECT_TRUE(all.array->poll()) << "asking has a name of its own";
  EXPECT_EQ(work.callbacks, 1);
}

// Arrays and chains in turn, each around the last one.
TEST(R16_recursion, does_not_happen_in_mixed_containers_4096_deep) {
  on_small_stack([] {
    new_fence f = make_fence();
    fence_ref at = f.fence;
    for (std::uint64_t i = 1; i <= 4096; ++i) {
      at = i % 2 == 0 ? *fence_array::create(std::array{at}) : *fence_chain::create(nullptr, at, i);
    }
    EXPECT_EQ(leaves_of(at), (std::vector{f.fence.get()}));
    EXPECT_EQ(*merge(std::array{at, at}), f.fence);
    at->set_deadline(INT64_C(1));
    EXPECT_FALSE(at->poll());
    EXPECT_EQ(at->wait(no_wait), errno_code(ETIME));
    f.signal.signal(-EIO);
    EXPECT_TRUE(at->poll());
    EXPECT_EQ(at->status(), 1) << "a chain has no error, but knows of it";
    EXPECT_EQ(error_origin(*fence_chain::create(nullptr, f.fence, 1)), f.fence);
  });
}

TEST(R25_timed_wait, on_a_reservation_object_looks_before_it_gives_up) {
  new_fence f = make_fence();
  const around all(f.fence);
  EXPECT_EQ(all.object.wait(resv_usage::write, no_wait), errno_code(ETIME));
  EXPECT_EQ(all.object.wait(resv_usage::write, INT64_C(1)), errno_code(ETIME)) << "long ago";
  f.signal.signal();
  EXPECT_FALSE(all.object.wait(resv_usage::write, INT64_C(1)));
  EXPECT_FALSE(all.array->wait(INT64_C(1)));
  EXPECT_FALSE(all.chain->wait(INT64_C(1)));
}

TEST(R26_deadline, of_a_container_polls_nothing_and_runs_no_callback) {
  complete_work work;
  const around all(work.made.fence);
  all.array->set_deadline(INT64_C(1));
  all.chain->set_deadline(INT64_C(2));
  all.object.set_deadline(resv_usage::write, INT64_C(3));
  EXPECT_EQ(work.deadlines, 3);
  EXPECT_EQ(work.asked, 0);
  EXPECT_EQ(work.callbacks, 0);
  EXPECT_FALSE(work.made.fence->is_signaled());
}

// A reader may be in its section for as long as it likes. Here it is there until all is made, dropped,
// signaled and waited for.
TEST(waits, regress_who_makes_or_waits_waits_for_no_reader) {
  std::latch is_reading(1);
  std::latch may_end(1);
  std::jthread reader([&] {
    const rcu::read_section section;
    is_reading.count_down();
    may_end.wait();
  });
  is_reading.wait();
  for (int i = 0; i < 500; ++i) {
    new_fence f = make_fence();
    around all(f.fence);
    new_fence other = make_fence();
    const fence_ref merged = *merge(std::array{all.array, other.fence});
    resv copy;
    EXPECT_FALSE(copy.lock());
    EXPECT_FALSE(copy.copy_from(all.object));
    EXPECT_FALSE(copy.replace(f.fence->context(), fence::stub(), resv_usage::write));
    copy.unlock();
    f.signal.signal();
    other.signal.signal();
    EXPECT_FALSE(merged->wait());
    EXPECT_FALSE(all.array->wait());
    EXPECT_FALSE(all.chain->wait());
    EXPECT_FALSE(all.object.wait(resv_usage::write, no_deadline));
  }
  may_end.count_down();
}

}  // namespace
}  // namespace ufence
