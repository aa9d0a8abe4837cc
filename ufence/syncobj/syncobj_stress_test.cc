// Everything at once.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "ufence/fence/testing/race.h"
#include "ufence/syncobj/testing/syncobj_support.h"

namespace ufence {
namespace {

using namespace testing;
using index_or = result<std::size_t>;

TEST(syncobj_stress, R22_a_wait_and_an_install_at_once) {
  std::vector<syncobj_point> points;
  std::optional<index_or> any;
  std::optional<index_or> all;
  race().run(
      stress_clock(),
      [&] {
        points = {{syncobj::create().value(), 0}, {syncobj::create().value(), 4}};
      },
      {[&] {
         EXPECT_EQ(points[1].object->signal_point(5), no_error);
         EXPECT_EQ(points[0].object->signal(), no_error);
       },
       [&] { any = wait(std::span(points).first(1), patience(), {.for_submit = true}); },
       [&] { all = wait(points, patience(), {.all = true, .for_submit = true}); }},
      [&] {
        ASSERT_EQ(any, index_or(0));
        ASSERT_EQ(all, index_or(0));
      });
}

TEST(syncobj_stress, an_event_and_an_install_at_once) {
  const event_counter event;
  syncobj_ref object;
  race().run(
      stress_clock(0.5), [&] { object = syncobj::create().value(); },
      {[&] { EXPECT_EQ(object->signal_point(1), no_error); },
       [&] { EXPECT_EQ(object->notify(event.fd.get(), 1), no_error); }},
      [&] { ASSERT_EQ(event.take(), 1U) << "once"; });
}

TEST(syncobj_stress, an_event_and_the_end_of_the_syncobj_at_once) {
  const event_counter event;
  std::array<syncobj_ref, 2> refs;
  race().run(
      stress_clock(0.5),
      [&] {
        refs[0] = refs[1] = syncobj::create().value();
        EXPECT_EQ(refs[0]->notify(event.fd.get(), 1), no_error);
      },
      {[&] { refs[0] = nullptr; },
       [&] {
         EXPECT_EQ(refs[1]->signal(), no_error) << "binary: not the point";
         refs[1] = nullptr;
       }},
      [&] { ASSERT_EQ(event.take(), 0U); });
}

TEST(syncobj_stress, a_wait_that_gives_up_and_an_install_at_once) {
  syncobj_ref object;
  std::optional<index_or> waited;
  race().run(
      stress_clock(0.5), [&] { object = syncobj::create().value(); },
      {[&] { EXPECT_EQ(object->signal(), no_error); },
       [&] {
         waited =
             wait(std::array{syncobj_point{object, 0}}, deadline_after(1000), {.for_submit = true});
       }},
      [&] { ASSERT_TRUE(waited == index_or(0) || waited->error() == timed_out); });
}

// Two add points, two wait for each other's, one looks, one resets another object and transfers to
// it.
TEST(syncobj_stress, timelines_under_everything) {
  const syncobj_ref line = syncobj::create().value();
  const syncobj_ref copy = syncobj::create().value();
  std::atomic<std::uint64_t> submitted = 0;
  std::atomic<bool> ended = false;
  std::vector<std::jthread> threads;
  threads.emplace_back([&] {
    const stress_clock clock;
    timeline_issuer issuer = make_timeline();
    std::uint64_t point = 0;
    do {
      ++point;
      const fence_ref f = issuer.emit().value();
      ASSERT_EQ(line->add_point(f, point), no_error);
      submitted = point;
      if (point % 4 == 0) issuer.signal_up_to(point);
    } while (clock.runs());
    issuer.signal_up_to(point);
    ended = true;
  });
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      std::mt19937 random(static_cast<unsigned>(i));
      while (!ended) {
        const std::uint64_t point = submitted + random() % 3;
        if (point == 0) continue;
        const index_or r =
            wait(std::array{syncobj_point{line, point}}, deadline_after(50 * millisecond_ns),
                 {.for_submit = true, .available = random() % 2 == 0});
        if (r) {
          ASSERT_TRUE(line->find_fence(point).has_value());
        } else {
          ASSERT_EQ(r.error(), timed_out);
        }
      }
    });
  }
  threads.emplace_back([&] {
    std::uint64_t before = 0;
    while (!ended) {
      const std::uint64_t now = line->query().value();
      ASSERT_GE(now, before) << "a query never goes back";
      ASSERT_GE(line->last_submitted().value(), now);
      before = now;
    }
  });
  threads.emplace_back([&] {
    while (!ended) {
      const std::error_code failed = transfer({line, submitted}, {copy, submitted % 2});
      ASSERT_TRUE(!failed || failed == not_there);
      if (submitted % 3 == 0) {
        ASSERT_EQ(copy->reset(), no_error);
      }
    }
  });
  threads.clear();
  EXPECT_EQ(line->query().value(), submitted);
}

}  // namespace
}  // namespace ufence
