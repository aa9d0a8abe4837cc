// Each allocation for a legacy fence fails once: a clear error, and all is as it was. Built with
// the layer's sources and the double of ufence/base/alloc.h.
#include <gtest/gtest.h>

#include "ufence/fence/testing/drained_slabs.h"
#include "ufence/fence/testing/fail_each.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/timeline.h"
#include "ufence/foreign/legacy.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

struct lock_of_nothing {
  static void lock(void*) noexcept {}
};
constexpr legacy_ops legacy = {.lock = &lock_of_nothing::lock, .unlock = &lock_of_nothing::lock};

}  // namespace

TEST(allocation_failure, of_a_legacy_fence) {
  timeline_issuer issuer = make_timeline();
  const auto create = [&] { return create_legacy_fence(issuer, legacy, nullptr); };
  const drained_slabs drained(create);
  const std::uint64_t before = issuer.line()->emitted();
  const int failed = fail_each([&] {
    result<new_fence> made = create();
    if (made) made->signal.signal();
    return error_of(made);
  });
  EXPECT_EQ(failed, 1);
  EXPECT_EQ(issuer.line()->emitted(), before + 1);
}
