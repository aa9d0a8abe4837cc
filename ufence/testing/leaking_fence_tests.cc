// Tests that leak fences on purpose, with the main that counts them; see leaking_tests.cc.
#include <gtest/gtest.h>

#include "ufence/fence/fence.h"

using ufence::fence;
using ufence::new_fence;
using ufence::result;

TEST(clean, drops_its_fences) {
  result<new_fence> made = fence::create(fence::allocate_contexts(1), 1);
  ASSERT_TRUE(made);
  EXPECT_TRUE(made->signal.signal());
}

TEST(leak, two_of_three_fences) {
  for (std::uint64_t seqno = 1; seqno <= 3; ++seqno) {
    result<new_fence> made = fence::create(fence::allocate_contexts(1), seqno);
    ASSERT_TRUE(made);
    EXPECT_TRUE(made->signal.signal());
    if (seqno != 2) static_cast<void>(made->fence.release());
  }
}
