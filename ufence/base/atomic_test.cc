#include "ufence/base/atomic.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <thread>

using namespace ufence;

TEST(atomic, does_what_its_names_say) {
  ufence::atomic<std::uint32_t> word{5};
  EXPECT_EQ(word.load(mo::acquire), 5U);
  word.store(6, mo::release);
  EXPECT_EQ(word.exchange(7, mo::acq_rel), 6U);
  EXPECT_EQ(word.fetch_add(3, mo::relaxed), 7U);
  EXPECT_EQ(word.fetch_sub(2, mo::relaxed), 10U);
  EXPECT_EQ(word.fetch_or(0x10, mo::seq_cst), 8U);
  EXPECT_EQ(word.fetch_and(0x11, mo::relaxed), 0x18U);
  EXPECT_EQ(word.fetch_xor(0x11, mo::relaxed), 0x10U);
  EXPECT_EQ(word.load(mo::relaxed), 1U);
}

TEST(atomic, compare_exchange_says_what_it_found) {
  ufence::atomic<int> word{1};
  int expected = 2;
  EXPECT_FALSE(word.compare_exchange(expected, 3, mo::acq_rel, mo::acquire));
  EXPECT_EQ(expected, 1);
  EXPECT_TRUE(word.compare_exchange(expected, 3, mo::acq_rel, mo::acquire));
  EXPECT_EQ(word.load(mo::relaxed), 3);
  expected = 3;
  while (!word.compare_exchange_weak(expected, 4, mo::release, mo::relaxed)) {
    ASSERT_EQ(expected, 3);
  }
  EXPECT_EQ(word.load(mo::relaxed), 4);
}

TEST(atomic, starts_at_zero) {
  const ufence::atomic<void*> pointer;
  EXPECT_EQ(pointer.load(mo::relaxed), nullptr);
}

TEST(atomic, is_as_large_as_its_value) {
  static_assert(sizeof(ufence::atomic<std::uint32_t>) == 4);
  static_assert(sizeof(ufence::atomic<std::uint64_t>) == 8);
  static_assert(sizeof(cell<int>) == sizeof(int));
}

TEST(atomic, hands_over_a_cell) {
  cell<int> data;
  ufence::atomic<bool> ready;
  std::jthread writer([&] {
    data.set(42);
    ready.store(true, mo::release);
  });
  while (!ready.load(mo::acquire)) spin_pause();
  EXPECT_EQ(data.get(), 42);
}
