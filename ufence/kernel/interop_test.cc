#include "ufence/kernel/interop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <linux/sync_file.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "ufence/base/fd.h"
#include "ufence/container/array.h"
#include "ufence/container/resv.h"
#include "ufence/container/unwrap.h"
#include "ufence/fence/names.h"
#include "ufence/fence/report.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/wait.h"
#include "ufence/kernel/linux/dma-fence-array.h"
#include "ufence/kernel/linux/dma-fence-chain.h"
#include "ufence/kernel/linux/dma-fence-unwrap.h"
#include "ufence/kernel/linux/dma-fence.h"
#include "ufence/kernel/linux/dma-resv.h"
#include "ufence/kernel/linux/gpu_scheduler.h"
#include "ufence/kernel/testing/mock.h"
#include "ufence/sync/sync_file.h"
#include "ufence/sync/syncobj_table.h"

namespace ufence {
namespace {

using testing::counted_cb;
using testing::mock;
using testing::mock_ops;

TEST(kernel_fence, is_the_fence_in_its_first_bytes) {
  const mock f;
  const fence_ref native = f.native();
  EXPECT_EQ(static_cast<void*>(native.get()), static_cast<void*>(f.get()));
  EXPECT_EQ(native->context(), f->context);
  EXPECT_EQ(native->seqno(), 1U);
  EXPECT_FALSE(native->is_independent());
  EXPECT_EQ(native->driver_name(), "detached-driver");
  dma_fence_set_error(f.get(), -EIO);
  EXPECT_EQ(native->status(), 0);
  dma_fence_signal(f.get());
  EXPECT_EQ(native->status(), -EIO);
  EXPECT_EQ(native->timestamp_ns(), f->timestamp);
  EXPECT_TRUE(native->is_settled());
}

constexpr dma_fence_ops longer_names{[](dma_fence*) { return "a driver with a name"; },
                                     [](dma_fence*) { return "ring 7 of that driver"; },
                                     nullptr,
                                     nullptr,
                                     nullptr,
                                     [](dma_fence* f) { dma_fence_free(f); },
                                     nullptr};

// A callback that stays until it is told to return.
struct staying_cb : dma_fence_cb {
  std::atomic<bool> runs = false;
  testing::door may_return;
  static void run(dma_fence*, dma_fence_cb* cb) {
    auto& self = *static_cast<staying_cb*>(cb);
    self.runs = true;
    self.may_return.pass();
  }
};

TEST(kernel_fence, a_child_of_fork_does_not_wait_for_callbacks_that_the_parent_runs) {
  const mock f;
  staying_cb cb;
  ASSERT_EQ(dma_fence_add_callback(f.get(), &cb, &staying_cb::run), 0);
  std::thread signal([&] { dma_fence_signal(f.get()); });
  EXPECT_TRUE(testing::eventually([&] { return cb.runs.load(); }));
  EXPECT_EQ(testing::in_child([&] { return dma_fence_remove_callback(f.get(), &cb) ? 1 : 0; }), 0);
  cb.may_return.open();
  signal.join();
}

TEST(kernel_fence, has_its_names_for_native_readers_until_it_is_signaled) {
  const mock f;
  EXPECT_EQ(names_of(*f.native()).driver_name(), "mock");
  EXPECT_EQ(names_of(*f.native()).timeline_name(), "mock");
  dma_fence_signal(f.get());
  EXPECT_EQ(names_of(*f.native()).driver_name(), "detached-driver");
  EXPECT_EQ(names_of(*f.native()).timeline_name(), "signaled-timeline");

  auto* kept = static_cast<dma_fence*>(std::calloc(1, sizeof(dma_fence)));
  dma_fence_init(kept, &longer_names, nullptr, dma_fence_context_alloc(1), 1);
  dma_fence_signal(kept);
  EXPECT_EQ(names_of(*to_fence(*kept)).timeline_name(), "signaled-timeline")
      << "with a release op the ops stay, but are not asked for names";
  dma_fence_put(kept);
  rcu_barrier();

  EXPECT_EQ(names_of(*fence::stub()).driver_name(), "stub");
  timeline_issuer issuer = std::move(
      *timeline_issuer::create({.driver_name = std::string(100, 'd'), .timeline_name = "l"}));
  const fence_ref emitted = *issuer.emit();
  EXPECT_EQ(names_of(*emitted).driver_name(), std::string(63, 'd'));
  EXPECT_EQ(names_of(*emitted).timeline_name(), "l");
  issuer.signal_up_to(emitted->seqno());
}

// The names of the only leaf, as a holder of the file is told.
std::string leaf_of(int file) {
  ::sync_fence_info leaf{};
  ::sync_file_info info{};
  info.num_fences = 1;
  info.sync_fence_info = reinterpret_cast<std::uintptr_t>(&leaf);
  EXPECT_FALSE(sync_file_get_info(file, info));
  EXPECT_EQ(info.num_fences, 1U);
  return std::string(leaf.driver_name) + "/" + leaf.obj_name;
}

TEST(kernel_fence, has_its_names_in_a_sync_file_until_they_go) {
  const mock f;
  const unique_fd file = *sync_file_create(f.native());
  EXPECT_EQ(leaf_of(file.get()), "mock/mock");
  dma_fence_signal(f.get());
  EXPECT_EQ(leaf_of(file.get()), "detached-driver/signaled-timeline")
      << "longer than what it was when the file was made";
}

TEST(kernel_fence, regress_a_sync_file_does_not_ask_a_signaled_fence_with_a_release_op_for_names) {
  auto* f = static_cast<dma_fence*>(std::calloc(1, sizeof(dma_fence)));
  dma_fence_init(f, &longer_names, nullptr, dma_fence_context_alloc(1), 1);
  const unique_fd file = *sync_file_create(to_fence(*f));
  EXPECT_EQ(leaf_of(file.get()), "a driver with a name/ring 7 of that driver");
  dma_fence_signal(f);
  EXPECT_EQ(leaf_of(file.get()), "detached-driver/signaled-timeline");
  EXPECT_EQ(to_fence(*f)->describe(),
            std::to_string(f->context) + ":1 signaled-timeline detached-driver signalled");
  dma_fence_put(f);
  rcu_barrier();
}

// What the library reports while it lives.
class reports {
 public:
  reports() {
    EXPECT_FALSE(set_report_handler(
        [](const report& what, void* self) noexcept {
          if (what.kind == report_kind::kernel_warning) ++static_cast<reports*>(self)->count_;
        },
        this));
  }
  ~reports() { EXPECT_FALSE(set_report_handler(nullptr, nullptr)); }
  reports(const reports&) = delete;
  reports& operator=(const reports&) = delete;
  [[nodiscard]] int count() const { return count_; }

 private:
  int count_ = 0;
};

TEST(kernel_fence, released_with_callbacks_pending_ends_with_EDEADLK_and_is_reported) {
  reports told;
  counted_cb cb;
  auto* f = static_cast<dma_fence*>(std::calloc(1, sizeof(dma_fence)));
  dma_fence_init(f, &mock_ops, nullptr, dma_fence_context_alloc(1), 1);
  ASSERT_EQ(dma_fence_add_callback(f, &cb, &counted_cb::run), 0);
  dma_fence_put(f);
  EXPECT_EQ(cb.runs, 1);
  EXPECT_EQ(cb.status, -EDEADLK);
  EXPECT_EQ(told.count(), 1);
  rcu_barrier();
}

TEST(kernel_fence, keeps_its_error_and_reports_misuse) {
  reports told;
  const mock f;
  counted_cb cb;
  EXPECT_EQ(dma_fence_add_callback(f.get(), &cb, nullptr), -EINVAL);
  EXPECT_EQ(dma_fence_wait_timeout(f.get(), false, -1), -EINVAL);
  EXPECT_EQ(told.count(), 2);
  dma_fence_set_error(f.get(), 5);
  EXPECT_EQ(told.count(), 3);
  dma_fence_signal(f.get());
  EXPECT_EQ(dma_fence_get_status(f.get()), -EINVAL) << "no errno";
  dma_fence_set_error(f.get(), -EIO);
  EXPECT_EQ(dma_fence_get_status(f.get()), -EINVAL) << "too late";
  dma_fence_signal(nullptr);
  EXPECT_EQ(told.count(), 5);
}

TEST(kernel_fence, ends_native_waits_callbacks_and_containers) {
  const mock a, b;
  const std::vector<fence_ref> both{a.native(), b.native()};
  const fence_ref array = *fence_array::create(both);
  int runs = 0;
  callback_registration registration([&](fence&) { ++runs; });
  ASSERT_FALSE(registration.add(array));
  dma_fence_signal(a.get());
  EXPECT_EQ(*wait_any(both, no_deadline), 0U);
  EXPECT_FALSE(array->is_signaled());
  std::thread signaler([&] { dma_fence_signal(b.get()); });
  EXPECT_FALSE(array->wait());
  signaler.join();
  EXPECT_EQ(runs, 1);
  EXPECT_TRUE((*merge(both))->is_signaled());
}

TEST(kernel_fence, signaled_under_the_issuers_lock_ends_a_native_array_after_it) {
  spinlock_t ring{};
  const mock f(&ring);
  const std::vector<fence_ref> one{f.native()};
  const fence_ref array = *fence_array::create(one);
  bool was_locked = true;
  callback_registration registration([&](fence&) { was_locked = spin_is_locked(&ring) != 0; });
  ASSERT_FALSE(registration.add(array));
  spin_lock(&ring);
  dma_fence_signal_locked(f.get());
  EXPECT_TRUE(array->is_signaled()) << "decided at once";
  spin_unlock(&ring);
  EXPECT_FALSE(was_locked);
}

std::vector<fence*> leaves_of(const fence_ref& f) {
  std::vector<fence*> found;
  leaves below(f);
  while (fence* leaf = below.next()) found.push_back(leaf);
  return found;
}

// With references of its own.
dma_fence* array_of(dma_fence* a, dma_fence* b) {
  auto** both = static_cast<dma_fence**>(std::calloc(2, sizeof(dma_fence*)));
  both[0] = dma_fence_get(a);
  both[1] = dma_fence_get(b);
  return &dma_fence_array_create(2, both, dma_fence_context_alloc(1), 1)->base;
}

TEST(kernel_containers, are_added_to_a_reservation_object_and_reported) {
  reports told;
  dma_resv object;
  dma_resv_init(&object);
  {
    const mock a, b;
    dma_fence* array = array_of(a.get(), b.get());
    ASSERT_EQ(dma_resv_lock(&object, nullptr), 0);
    ASSERT_EQ(dma_resv_reserve_fences(&object, 1), 0);
    dma_resv_add_fence(&object, array, DMA_RESV_USAGE_WRITE);
    dma_resv_unlock(&object);
    EXPECT_EQ(told.count(), 1);
    dma_fence_signal(a.get());
    EXPECT_EQ(dma_resv_wait_timeout(&object, DMA_RESV_USAGE_WRITE, false, 0), 0);
    dma_fence_signal(b.get());
    EXPECT_GT(dma_resv_wait_timeout(&object, DMA_RESV_USAGE_WRITE, false, 0), 0);
    dma_fence_put(array);
    dma_resv_fini(&object);
  }
}

TEST(kernel_containers, are_unwrapped_and_merged_natively) {
  const mock a, b, c, d;
  dma_fence_chain* first = dma_fence_chain_alloc();
  dma_fence_chain* last = dma_fence_chain_alloc();
  dma_fence_chain_init(first, dma_fence_get(d.get()), array_of(a.get(), b.get()), 1);
  dma_fence_chain_init(last, &first->base, dma_fence_get(c.get()), 2);
  {
    const fence_ref chain = to_fence(last->base);
    const std::vector<fence*> all{c.native().get(), a.native().get(), b.native().get(),
                                  d.native().get()};
    EXPECT_EQ(leaves_of(chain), all);
    const std::vector<fence_ref> nested{chain, a.native()};
    EXPECT_EQ(leaves_of(*fence_array::create(nested)).size(), 5U);
    EXPECT_EQ(leaves_of(*merge(nested)).size(), 4U);
    dma_fence_signal(a.get());
    EXPECT_EQ(leaves_of(*merge(nested)).size(), 3U);
  }
  dma_fence_put(&last->base);
}

TEST(kernel_containers, of_10000_points_are_walked_without_a_deeper_walk) {
  const mock f;
  dma_fence* tail = nullptr;
  for (std::uint64_t i = 1; i <= 10'000; ++i) {
    dma_fence_chain* node = dma_fence_chain_alloc();
    dma_fence_chain_init(node, tail, dma_fence_get(f.get()), i);
    tail = &node->base;
  }
  EXPECT_EQ(leaves_of(to_fence(*tail)).size(), 10'000U);
  dma_fence_put(tail);
}

// 0 comes after the largest seqno of 32 bits, for all that keeps the later one of a context.
struct wrapping_pair {
  wrapping_pair() : earlier(make(UINT32_MAX)), later(make(0)) {}
  wrapping_pair(const wrapping_pair&) = delete;
  wrapping_pair& operator=(const wrapping_pair&) = delete;
  ~wrapping_pair() {
    for (dma_fence* f : {earlier, later}) {
      dma_fence_signal(f);
      dma_fence_put(f);
    }
  }
  dma_fence* make(std::uint64_t seqno) {
    auto* f = static_cast<dma_fence*>(std::calloc(1, sizeof(dma_fence)));
    dma_fence_init(f, &mock_ops, nullptr, context, seqno);
    return f;
  }
  const std::uint64_t context = dma_fence_context_alloc(1);
  dma_fence* const earlier;
  dma_fence* const later;
};

TEST(kernel_fence, regress_native_consumers_keep_the_later_one_of_seqnos_that_wrap) {
  const wrapping_pair pair;
  const fence_ref earlier = to_fence(*pair.earlier);
  const fence_ref later = to_fence(*pair.later);
  EXPECT_TRUE(later->is_later_than(*earlier));
  EXPECT_FALSE(earlier->is_later_than(*later));
  for (const std::vector<fence_ref>& both : {std::vector{earlier, later}, {later, earlier}}) {
    EXPECT_EQ(*merge(both), later);
    std::vector<fence_ref> list = both;
    ASSERT_EQ(dedup(list), 1U);
    EXPECT_EQ(list.front(), later);
    resv buffer;
    EXPECT_FALSE(buffer.lock());
    EXPECT_FALSE(buffer.reserve(2));
    for (const fence_ref& f : both) EXPECT_FALSE(buffer.add(f, resv_usage::write));
    buffer.unlock();
    EXPECT_THAT(buffer.get_fences(resv_usage::write).value().items(), ::testing::Contains(later));
    const unique_fd first = ufence::sync_file_create(both.front()).value();
    const unique_fd second = ufence::sync_file_create(both.back()).value();
    const unique_fd merged = sync_file_merge(first.get(), second.get()).value();
    EXPECT_EQ(ufence::sync_file_get_fence(merged.get()).value(), later);
  }
}

TEST(to_dma_fence, regress_of_an_imported_fence_has_seqnos_that_wrap_where_its_exporters_do) {
  const wrapping_pair pair;
  const unique_fd first = ufence::sync_file_create(to_fence(*pair.earlier)).value();
  const unique_fd second = ufence::sync_file_create(to_fence(*pair.later)).value();
  EXPECT_EQ(testing::in_child([&] {
              const fence_ref earlier = ufence::sync_file_get_fence(first.get()).value();
              const fence_ref later = ufence::sync_file_get_fence(second.get()).value();
              dma_fence* one = to_dma_fence(earlier);
              dma_fence* other = to_dma_fence(later);
              const bool is_right = merge(std::vector{earlier, later}).value() == later &&
                                    merge(std::vector{later, earlier}).value() == later &&
                                    dma_fence_is_later(other, one) &&
                                    !dma_fence_is_later(one, other);
              dma_fence_put(one);
              dma_fence_put(other);
              return is_right ? 0 : 1;
            }),
            0);
}

TEST(to_dma_fence, of_a_kernel_style_fence_is_itself) {
  const mock f;
  dma_fence* again = to_dma_fence(f.native());
  EXPECT_EQ(again, f.get());
  dma_fence_put(again);
  EXPECT_EQ(to_dma_fence(nullptr), nullptr);
}

TEST(to_dma_fence, of_another_stands_for_it) {
  new_fence made = std::move(*fence::create(fence::allocate_contexts(1), 9));
  dma_fence* f = to_dma_fence(made.fence);
  EXPECT_EQ(f->context, made.fence->context());
  EXPECT_EQ(f->seqno, 9U);
  rcu_read_lock();
  EXPECT_STREQ(dma_fence_driver_name(f), "detached-driver");
  rcu_read_unlock();
  counted_cb cb;
  EXPECT_EQ(dma_fence_add_callback(f, &cb, &counted_cb::run), 0);
  EXPECT_EQ(dma_fence_get_status(f), 0);
  made.signal.signal(-EIO);
  EXPECT_EQ(dma_fence_wait(f, false), 0);
  EXPECT_EQ(cb.runs, 1);
  EXPECT_EQ(cb.status, -EIO);
  EXPECT_EQ(dma_fence_timestamp(f), made.fence->timestamp_ns());
  dma_fence_put(f);
  rcu_barrier();
}

TEST(to_dma_fence, regress_the_first_poll_finds_a_container_complete_that_was_not_enabled) {
  new_fence made = std::move(*fence::create(fence::allocate_contexts(1), 1));
  const std::array inner{*fence_array::create(std::array{made.fence})};
  dma_fence* f = to_dma_fence(*fence_array::create(inner));
  EXPECT_FALSE(dma_fence_is_signaled(f));
  dma_fence* not_enabled = to_dma_fence(*fence_array::create(std::array{*fence_array::create(inner)}));
  made.signal.signal();
  EXPECT_TRUE(dma_fence_is_signaled(f));
  EXPECT_TRUE(dma_fence_is_signaled(not_enabled));
  for (dma_fence* put : {f, not_enabled}) dma_fence_put(put);
  rcu_barrier();
}

TEST(to_dma_fence, regress_is_kept_for_an_earlier_one_of_its_timeline_and_dropped_for_a_later_one) {
  for (const bool later_stands_in : {false, true}) {
    timeline_issuer issuer = *timeline_issuer::create({.driver_name = "d", .timeline_name = "t"});
    const fence_ref earlier = *issuer.emit();
    const fence_ref later = *issuer.emit();
    dma_fence* f = to_dma_fence(later_stands_in ? later : earlier);
    const fence_ref both =
        *merge(std::array{later_stands_in ? earlier : to_fence(*f), later_stands_in ? to_fence(*f) : later});
    issuer.signal(*later);
    EXPECT_FALSE(both->poll()) << "the earlier one is pending";
    issuer.signal_up_to(1);
    EXPECT_TRUE(both->poll());
    issuer.signal_up_to(2);
    dma_fence_put(f);
  }
  rcu_barrier();
}

TEST(to_dma_fence, regress_the_first_native_poll_finds_it_complete_as_well) {
  const fence_ref done = fence::stub();
  dma_fence* f = to_dma_fence(*fence_array::create({&done, 1}));
  const fence_ref native = to_fence(*f);
  EXPECT_TRUE(native->poll());
  dma_fence_put(f);
  rcu_barrier();
}

TEST(to_dma_fence, regress_polled_while_it_is_queued_it_is_settled_once) {
  new_fence made = std::move(*fence::create(fence::allocate_contexts(1), 9));
  const mock other;
  dma_fence* f = to_dma_fence(made.fence);
  counted_cb of_f, of_other;
  ASSERT_EQ(dma_fence_add_callback(f, &of_f, &counted_cb::run), 0);
  ASSERT_EQ(dma_fence_add_callback(other.get(), &of_other, &counted_cb::run), 0);
  callback_registration signals([&](fence&) { dma_fence_signal(other.get()); });
  callback_registration polls([&](fence&) { EXPECT_TRUE(dma_fence_is_signaled(f)); });
  ASSERT_FALSE(signals.add(made.fence));
  ASSERT_FALSE(polls.add(made.fence));
  made.signal.signal(-EIO);
  EXPECT_EQ(of_f.runs, 1);
  EXPECT_EQ(of_f.status, -EIO);
  EXPECT_EQ(of_other.runs, 1);
  EXPECT_EQ(dma_fence_wait_timeout(other.get(), false, 0), 1);
  EXPECT_EQ(kref_read(&f->refcount), 1U);
  dma_fence_put(f);
  rcu_barrier();
}

TEST(to_dma_fence, regress_of_an_issuer_that_completes_in_any_order_is_merged_whole) {
  timeline_issuer line = testing::make_timeline({.driver_name = "any order"});
  new_fence first = line.create_unordered().value();
  new_fence second = line.create_unordered().value();
  dma_fence* one = to_dma_fence(first.fence);
  dma_fence* two = to_dma_fence(second.fence);
  EXPECT_NE(one->context, two->context);
  dma_fence* merged = dma_fence_unwrap_merge(one, two);
  ASSERT_TRUE(dma_fence_is_array(merged));
  second.signal.signal();
  EXPECT_FALSE(dma_fence_is_signaled(merged));
  first.signal.signal();
  EXPECT_TRUE(dma_fence_is_signaled(merged));
  for (dma_fence* f : {merged, one, two}) dma_fence_put(f);
  rcu_barrier();
}

TEST(to_dma_fence, regress_of_a_timeline_is_signaled_in_its_turn) {
  timeline_issuer line = testing::make_timeline({});
  const fence_ref first = line.emit().value();
  const fence_ref second = line.emit().value();
  dma_fence* one = to_dma_fence(first);
  dma_fence* two = to_dma_fence(second);
  dma_fence* merged = dma_fence_unwrap_merge(one, two);
  EXPECT_EQ(merged, two) << "the later one is enough";
  EXPECT_TRUE(line.signal(*second));
  EXPECT_FALSE(dma_fence_is_signaled(merged));
  line.signal_up_to(1);
  EXPECT_TRUE(dma_fence_is_signaled(merged));
  for (dma_fence* f : {merged, one, two}) dma_fence_put(f);
  line.signal_up_to(2);
  rcu_barrier();
}

TEST(to_dma_fence, of_a_signaled_one_is_signaled_when_looked_at) {
  new_fence made = std::move(*fence::create(fence::allocate_contexts(1), 1));
  made.signal.signal(-ENODATA);
  dma_fence* f = to_dma_fence(made.fence);
  EXPECT_EQ(dma_fence_get_status(f), -ENODATA);
  dma_fence_put(f);
  rcu_barrier();
}

TEST(to_dma_fence, may_be_dropped_while_it_waits_for_its_original) {
  new_fence made = std::move(*fence::create(fence::allocate_contexts(1), 1));
  dma_fence* f = to_dma_fence(made.fence);
  dma_fence_enable_sw_signaling(f);
  dma_fence_put(f);
  made.signal.signal();
  rcu_barrier();
}

// README 8: in a child of fork() what only the parent could signal ends what is made of it.
TEST(kernel_containers, regress_of_a_child_end_where_inherited_fences_can_not) {
  new_fence native = std::move(*fence::create(fence::allocate_contexts(1), 1));
  const mock inherited;
  const int child = testing::in_child([&] {
    auto** children = static_cast<dma_fence**>(std::malloc(sizeof(dma_fence*)));
    children[0] = dma_fence_get(inherited.get());
    dma_fence_array* array =
        dma_fence_array_create(1, children, dma_fence_context_alloc(1), 1, false);
    UFENCE_CHILD_EXPECT(dma_fence_wait(&array->base, false) == 0);
    UFENCE_CHILD_EXPECT(dma_fence_get_status(&array->base) == -EOWNERDEAD);

    dma_fence_chain* link = dma_fence_chain_alloc();
    dma_fence_chain_init(link, nullptr, dma_fence_get(inherited.get()), 1);
    UFENCE_CHILD_EXPECT(dma_fence_wait(&link->base, false) == 0);
    UFENCE_CHILD_EXPECT(dma_fence_get_status(&link->base) == -EOWNERDEAD);

    dma_fence* standing = to_dma_fence(native.fence);
    UFENCE_CHILD_EXPECT(dma_fence_wait(standing, false) == 0);
    UFENCE_CHILD_EXPECT(dma_fence_get_status(standing) == -EOWNERDEAD);
    UFENCE_CHILD_EXPECT(dma_fence_wait(inherited.get(), false) == -EOWNERDEAD);
    return 0;
  });
  EXPECT_EQ(child, 0);
  native.signal.signal();
}

TEST(dma_resv, refuses_a_fence_that_is_no_struct_dma_fence) {
  reports told;
  new_fence made = std::move(*fence::create(fence::allocate_contexts(1), 1));
  auto* mistaken = reinterpret_cast<dma_fence*>(made.fence.get());
  dma_resv resv;
  dma_resv_init(&resv);
  ASSERT_EQ(dma_resv_lock(&resv, nullptr), 0);
  ASSERT_EQ(dma_resv_reserve_fences(&resv, 1), 0);
  dma_resv_add_fence(&resv, mistaken, DMA_RESV_USAGE_WRITE);
  EXPECT_EQ(told.count(), 1);
  dma_resv_replace_fences(&resv, made.fence->context(), mistaken, DMA_RESV_USAGE_WRITE);
  EXPECT_EQ(told.count(), 2);
  EXPECT_TRUE(dma_resv_test_signaled(&resv, DMA_RESV_USAGE_BOOKKEEP)) << "it is not in it";

  dma_fence* standing = to_dma_fence(made.fence);
  dma_resv_add_fence(&resv, standing, DMA_RESV_USAGE_WRITE);
  EXPECT_FALSE(dma_resv_test_signaled(&resv, DMA_RESV_USAGE_BOOKKEEP));
  made.signal.signal();
  EXPECT_TRUE(dma_resv_test_signaled(&resv, DMA_RESV_USAGE_BOOKKEEP));
  EXPECT_EQ(told.count(), 2);
  dma_resv_unlock(&resv);
  dma_resv_fini(&resv);
  dma_fence_put(standing);
  rcu_barrier();
}

// A driver of one job, which the device does at once.
struct instant_job {
  drm_sched_job base;
  bool* is_freed;

  static dma_fence* run(drm_sched_job*) { return nullptr; }
  static void free(drm_sched_job* j) {
    drm_sched_job_cleanup(j);
    *reinterpret_cast<instant_job*>(j)->is_freed = true;
  }
  static constexpr drm_sched_backend_ops ops{.prepare_job = nullptr,
                                             .run_job = &run,
                                             .timedout_job = nullptr,
                                             .free_job = &free,
                                             .cancel_job = nullptr};
};

TEST(kernel_interop, a_job_waits_for_a_point_of_64_bits) {
  drm_gpu_scheduler sched{};
  drm_sched_init_args args{};
  args.ops = &instant_job::ops;
  args.num_rqs = 1;
  args.credit_limit = 1;
  args.timeout = MAX_SCHEDULE_TIMEOUT;
  args.name = "interop";
  ASSERT_EQ(drm_sched_init(&sched, &args), 0);
  drm_gpu_scheduler* list[] = {&sched};
  drm_sched_entity entity{};
  ASSERT_EQ(drm_sched_entity_init(&entity, DRM_SCHED_PRIORITY_NORMAL, list, 1, nullptr), 0);

  constexpr u64 far = (u64{1} << 32) + 5;  // 5 in 32 bits
  syncobj_table table;
  const syncobj_table::handle h = table.create().value();
  new_fence low = fence::create(fence::allocate_contexts(1), 1).value();
  new_fence high = fence::create(fence::allocate_contexts(1), 1).value();
  ASSERT_FALSE(table.find(h)->add_point(low.fence, 5));
  bool is_freed = false;
  instant_job j{.base = {}, .is_freed = &is_freed};
  ASSERT_EQ(drm_sched_job_init(&j.base, &entity, 1, nullptr, 0), 0);
  drm_file* const file = to_drm_file(table);
  EXPECT_EQ(drm_sched_job_add_syncobj_dependency(&j.base, file, h + 1, far), -ENOENT);
  EXPECT_EQ(drm_sched_job_add_syncobj_dependency(&j.base, file, h, far), -EINVAL) << "not yet";
  ASSERT_FALSE(table.find(h)->add_point(high.fence, far));
  EXPECT_EQ(drm_sched_job_add_syncobj_dependency(&j.base, file, h, far), 0);
  drm_sched_job_arm(&j.base);
  dma_fence* const finished = dma_fence_get(&j.base.s_fence->finished);
  const fence_ref native = to_fence(*finished);
  drm_sched_entity_push_job(&j.base);
  low.signal.signal();
  drm_sched_wqueue_stop(&sched);
  drm_sched_wqueue_start(&sched);
  EXPECT_FALSE(native->is_signaled());
  high.signal.signal();
  EXPECT_FALSE(native->wait());
  EXPECT_EQ(native->status(), 1);
  drm_sched_entity_destroy(&entity);
  drm_sched_fini(&sched);
  EXPECT_TRUE(is_freed);
  dma_fence_put(finished);
}

}  // namespace
}  // namespace ufence
