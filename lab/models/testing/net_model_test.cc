// What ends the fences of an import, explored: the thread that hears values against the one that looks at
// leases, both under the link's lock, as ufence/net/link.cc has them.
#include "ufence/net/awaited_points.h"

#include <cerrno>

#include "lab/models/testing/harness.h"
#include "ufence/base/lock.h"
#include "ufence/fence/fence.h"

namespace ufence::lab {
namespace {

constexpr ufence::detail::link_times times{.lease_ns = 3};
constexpr std::int64_t beyond_lease_ns = 4;  // since the last sign of life, at 0

ufence::detail::value_record record_of(std::uint64_t value) {
  ufence::detail::value_record r;
  r.timeline_id = 1;
  r.epoch = 1;
  r.owner = 1;
  r.value = value;
  return r;
}

struct link_of_one {
  link_of_one() { importer.on_record(record_of(1)); }

  void hear(std::uint64_t value) {
    settlement later;
    const scoped_lock hold(lock);
    if (importer.on_record(record_of(value))) points.advance(importer, later);
  }
  void look_at_lease(std::int64_t now_ns) {
    settlement later;
    const scoped_lock hold(lock);
    if (importer.tick(nullptr, attempts, 0, now_ns)) points.advance(importer, later);
  }
  fence_ref fence_at(std::uint64_t point) {
    new_fence made = fence::create(fence::allocate_contexts(1), point).value();
    settlement later;
    const scoped_lock hold(lock);
    points.add(point, std::move(made.signal));
    points.advance(importer, later);
    return std::move(made.fence);
  }

  mutex lock{lock_rank::entity};
  ufence::detail::importer importer{{.timeline_id = 1}, times, 0};
  ufence::detail::awaited_points points;
  std::uint64_t attempts = 0;
};

TEST(net_model, a_late_value_against_the_end_of_the_lease_decides_once_and_for_ever) {
  expect_safe([] {
    link_of_one link;
    const fence_ref reached = link.fence_at(1);
    const fence_ref owed = link.fence_at(2);
    LAB_CHECK(reached->status() == 1 && owed->status() == 0);
    cell<int> work;
    {
      thread engine("engine", [&] { work.set(1), link.hear(2); });
      thread lease("lease", [&] { link.look_at_lease(beyond_lease_ns); });
      thread waits("waits", [&] {
        const std::error_code failed = owed->wait_result(no_deadline);
        LAB_CHECK(!failed || failed == errno_code(EOWNERDEAD));
        if (!failed) LAB_CHECK(work.get() == 1);
        LAB_CHECK(owed->status() == (failed ? -EOWNERDEAD : 1));
      });
    }
    // What was decided stays, and is what the importer says.
    LAB_CHECK(reached->status() == 1);
    LAB_CHECK(link.importer.ended() == -EOWNERDEAD);
    LAB_CHECK(owed->status() == (link.importer.value() == 2 ? 1 : -EOWNERDEAD));
    link.hear(3);
    LAB_CHECK(link.importer.value() <= 2 && link.fence_at(3)->status() == -EOWNERDEAD);
  });
}

TEST(net_model, a_fence_that_is_asked_for_beside_both_ends) {
  expect_safe([] {
    link_of_one link;
    {
      thread engine("engine", [&] { link.hear(2); });
      thread lease("lease", [&] { link.look_at_lease(beyond_lease_ns); });
      thread asks("asks", [&] {
        const std::error_code failed = link.fence_at(2)->wait_result(no_deadline);
        LAB_CHECK(!failed || failed == errno_code(EOWNERDEAD));
      });
    }
  });
}

}  // namespace
}  // namespace ufence::lab
