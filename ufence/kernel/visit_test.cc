// Containers of the kernel's interface that share what is inside: each is asked once.
#include "ufence/kernel/visit.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <utility>

#include "ufence/container/array.h"
#include "ufence/container/chain.h"
#include "ufence/fence/report.h"
#include "ufence/kernel/interop.h"

namespace ufence {
namespace {

constexpr int levels = 60;  // 2^60 paths

// A fence whose issuer counts what it is asked.
struct counted_fence {
  dma_fence base;
  int polls;
  int deadlines;
  bool is_complete;
};
counted_fence& of(dma_fence* f) { return *reinterpret_cast<counted_fence*>(f); }
const char* name(dma_fence*) { return "counted"; }
constexpr dma_fence_ops ops{
    .get_driver_name = &name,
    .get_timeline_name = &name,
    .enable_signaling = nullptr,
    .signaled = [](dma_fence* f) { return ++of(f).polls, of(f).is_complete; },
    .wait = nullptr,
    .release = nullptr,
    .set_deadline = [](dma_fence* f, ktime_t) { ++of(f).deadlines; }};

counted_fence* make_counted() {
  auto* made = static_cast<counted_fence*>(std::calloc(1, sizeof(counted_fence)));
  dma_fence_init(&made->base, &ops, nullptr, dma_fence_context_alloc(1), 1);
  return made;
}

// Consumes the reference.
dma_fence* array_of_two(dma_fence* f, bool is_any) {
  auto** both = static_cast<dma_fence**>(std::calloc(2, sizeof(dma_fence*)));
  both[0] = f;
  both[1] = dma_fence_get(f);
  return &dma_fence_array_create(2, both, dma_fence_context_alloc(1), 1, is_any)->base;
}
dma_fence* array_in_chain(dma_fence* f, bool is_any) {
  dma_fence_chain* node = dma_fence_chain_alloc();
  dma_fence_chain_init(node, nullptr, array_of_two(f, is_any), 1);
  return &node->base;
}

// A chain whose points each contain the points before, which are linked as well.
dma_fence* array_in_chain_after(dma_fence* f, bool is_any) {
  dma_fence_chain* node = dma_fence_chain_alloc();
  dma_fence_chain_init(node, dma_fence_get(f), array_of_two(f, is_any), 1);
  return &node->base;
}

class shared_kernel_containers : public ::testing::TestWithParam<bool> {
  // An array in an array is reported, and works.
  void SetUp() override {
    set_report_handler([](const report&, void*) noexcept {}, nullptr);
  }
  void TearDown() override { set_report_handler(nullptr, nullptr); }
};

TEST_P(shared_kernel_containers, regress_are_asked_once) {
  for (auto* make : {&array_of_two, &array_in_chain, &array_in_chain_after}) {
    counted_fence* leaf = make_counted();
    dma_fence* top = dma_fence_get(&leaf->base);
    for (int i = 0; i < levels; ++i) top = make(top, GetParam());
    EXPECT_FALSE(dma_fence_is_signaled(top));
    EXPECT_GE(leaf->polls, 1);
    EXPECT_LE(leaf->polls, 3) << "as often as it is in the lowest one";
    dma_fence_set_deadline(top, INT64_C(1));
    EXPECT_GE(leaf->deadlines, 1);
    EXPECT_LE(leaf->deadlines, 3);
    leaf->is_complete = true;
    EXPECT_TRUE(dma_fence_is_signaled(top));
    dma_fence_put(top);
    dma_fence_put(&leaf->base);
  }
  rcu_barrier();
}

// Two of each level contain both of the level below: no array contains one twice.
TEST_P(shared_kernel_containers, regress_are_asked_once_through_others) {
  counted_fence* leaf = make_counted();
  dma_fence* pair[] = {dma_fence_get(&leaf->base), dma_fence_get(&leaf->base)};
  for (int i = 0; i < levels; ++i) {
    dma_fence* next[2];
    for (dma_fence*& made : next) {
      auto** both = static_cast<dma_fence**>(std::calloc(2, sizeof(dma_fence*)));
      both[0] = dma_fence_get(pair[0]);
      both[1] = dma_fence_get(pair[1]);
      made = &dma_fence_array_create(2, both, dma_fence_context_alloc(1), 1, GetParam())->base;
    }
    for (int k = 0; k < 2; ++k) dma_fence_put(std::exchange(pair[k], next[k]));
  }
  EXPECT_FALSE(dma_fence_is_signaled(pair[0]));
  EXPECT_LE(leaf->polls, 4) << "as often as it is in the two lowest ones";
  dma_fence_set_deadline(pair[0], INT64_C(1));
  EXPECT_GE(leaf->deadlines, 1);
  EXPECT_LE(leaf->deadlines, 4);
  leaf->is_complete = true;
  EXPECT_TRUE(dma_fence_is_signaled(pair[0]));
  for (dma_fence* f : pair) dma_fence_put(f);
  dma_fence_put(&leaf->base);
  rcu_barrier();
}

TEST_P(shared_kernel_containers, regress_are_enabled_and_signaled_once) {
  counted_fence* leaf = make_counted();
  dma_fence* top = dma_fence_get(&leaf->base);
  for (int i = 0; i < levels; ++i) top = array_of_two(top, GetParam());
  dma_fence_enable_sw_signaling(top);
  EXPECT_FALSE(dma_fence_is_signaled(top));
  dma_fence_signal(&leaf->base);
  EXPECT_TRUE(dma_fence_test_signaled_flag(top));
  dma_fence_put(top);
  dma_fence_put(&leaf->base);
  rcu_barrier();
}

// Containers of both interfaces in turn, with a fence between them that stands for a native one.
dma_fence* stand_in_of_array(dma_fence* f, bool is_any) {
  const fence_ref inside = to_fence(*f);
  dma_fence_put(f);
  return to_dma_fence(
      *fence_array::create(std::array{inside, inside}, is_any ? array_mode::any : array_mode::all));
}
dma_fence* stand_in_of_chain(dma_fence* f, bool) {
  const fence_ref inside = to_fence(*f);
  dma_fence_put(f);
  return to_dma_fence(*fence_chain::create(inside, inside, 1));
}
dma_fence* stand_in_in_chain(dma_fence* f, bool is_any) {
  dma_fence_chain* node = dma_fence_chain_alloc();
  dma_fence_chain_init(node, dma_fence_get(f), stand_in_of_array(f, is_any), 1);
  return &node->base;
}
dma_fence* stand_in_in_array(dma_fence* f, bool is_any) {
  return array_of_two(stand_in_of_array(f, is_any), is_any);
}

TEST_P(shared_kernel_containers, regress_are_asked_once_where_others_stand_for_them) {
  for (auto* make : {&stand_in_of_array, &stand_in_of_chain, &stand_in_in_array, &stand_in_in_chain}) {
    counted_fence* leaf = make_counted();
    dma_fence* top = dma_fence_get(&leaf->base);
    for (int i = 0; i < levels; ++i) top = make(top, GetParam());
    EXPECT_FALSE(dma_fence_is_signaled(top));
    EXPECT_GE(leaf->polls, 1);
    EXPECT_LE(leaf->polls, 4) << "as often as it is in the lowest one, for both that the top has";
    dma_fence_set_deadline(top, INT64_C(1));
    EXPECT_GE(leaf->deadlines, 1);
    EXPECT_LE(leaf->deadlines, make == &stand_in_in_chain ? 4 * levels : 4) << "once for each point";
    leaf->is_complete = true;
    EXPECT_TRUE(dma_fence_is_signaled(top));
    dma_fence_put(top);
    dma_fence_put(&leaf->base);
  }
  rcu_barrier();
}

INSTANTIATE_TEST_SUITE_P(kernel, shared_kernel_containers, ::testing::Bool());

}  // namespace
}  // namespace ufence
