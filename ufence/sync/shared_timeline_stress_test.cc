// A shared timeline whose points are signaled, asked for and dropped at the same moment.
#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <vector>

#include "ufence/fence/testing/race.h"
#include "ufence/sync/shared_timeline.h"
#include "ufence/syncobj/testing/syncobj_support.h"

namespace ufence {
namespace {

using namespace testing;

shared_timeline_ref import_of(const shared_timeline_ref& line, shared_access access) {
  const unique_fd fd = line->export_fd(access).value();
  return shared_timeline::import(fd.get()).value();
}

TEST(shared_timeline_stress, a_signal_and_a_fence_at_once) {
  shared_timeline_ref line =
      shared_timeline::create({.name = "line", .peers_may_signal = true}).value();
  const shared_timeline_ref reader = import_of(line, shared_access::wait);
  const shared_timeline_ref peer = import_of(line, shared_access::signal);
  std::uint64_t point = 0;
  std::array<fence_ref, 3> fences;
  race().run(
      stress_clock(), [&] { ++point; },
      {[&] { EXPECT_EQ(peer->signal(point), no_error); },
       [&] {
         fences[0] = reader->fence_at(point).value();
         fences[1] = line->fence_at(point).value();
         fences[2] = peer->fence_at(point).value();
       }},
      [&] {
        for (fence_ref& f : fences) {
          ASSERT_EQ(f->wait(patience()), no_error);
          ASSERT_EQ(f->status(), 1);
        }
      });
}

TEST(shared_timeline_stress, a_wait_and_a_signal_at_once) {
  const shared_timeline_ref line = shared_timeline::create().value();
  const shared_timeline_ref reader = import_of(line, shared_access::wait);
  std::uint64_t point = 0;
  std::error_code waited;
  race().run(
      stress_clock(0.5), [&] { ++point; },
      {[&] { EXPECT_EQ(line->signal(point), no_error); },
       [&] { waited = reader->wait(point, patience()); }},
      [&] { ASSERT_EQ(waited, no_error); });
}

TEST(shared_timeline_stress, an_end_and_everything_at_once) {
  shared_timeline_ref line;
  shared_timeline_ref reader;
  shared_timeline_ref peer;
  fence_ref before;
  fence_ref f;
  std::error_code waited;
  race().run(
      stress_clock(0.5),
      [&] {
        line = shared_timeline::create({.name = "line", .peers_may_signal = true}).value();
        reader = import_of(line, shared_access::wait);
        peer = import_of(line, shared_access::signal);
        before = reader->fence_at(1).value();
      },
      {[&] { line = nullptr; },
       [&] {
         f = reader->fence_at(1).value();
         reader = nullptr;
       },
       [&] {
         const std::error_code signaled = peer->signal(1);
         ASSERT_TRUE(!signaled || signaled == errno_code(ECANCELED));
         waited = peer->wait(1, patience());
         ASSERT_EQ(waited, signaled);
       }},
      [&] {
        for (const fence_ref& one : {before, f}) {
          ASSERT_EQ(one->wait(patience()), no_error);
          ASSERT_EQ(one->status(), waited ? -ECANCELED : 1) << "all see the same end";
        }
      });
}

}  // namespace
}  // namespace ufence
