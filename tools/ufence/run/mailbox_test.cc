#include "tools/ufence/run/mailbox.h"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <thread>
#include <utility>
#include <vector>

#include "ufence/base/clock.h"
#include "ufence/fence/fence.h"

namespace ufence::tool {
namespace {

struct watched_fence {
  explicit watched_fence(mailbox& box) : made(*fence::create(fence::allocate_contexts(1), 1)) {
    event.box = &box;
    event.is_queued = true;
    if (made.fence->add_callback(event)) ADD_FAILURE() << "not queued";
  }
  new_fence made;
  watch event;
};

std::vector<const watch*> taken_from(mailbox& box) {
  std::vector<const watch*> events;
  box.take([&](watch& event) { events.push_back(&event); }, [](news&&) {});
  return events;
}

TEST(mailbox, gives_events_in_the_order_of_the_signals) {
  mailbox box;
  watched_fence first(box);
  watched_fence second(box);
  second.made.signal.signal();
  first.made.signal.signal();
  EXPECT_EQ(taken_from(box), (std::vector<const watch*>{&second.event, &first.event}));
  EXPECT_FALSE(first.event.is_queued);
  EXPECT_TRUE(taken_from(box).empty());
}

TEST(mailbox, an_event_may_be_freed_or_queued_again_while_it_is_taken) {
  mailbox box;
  auto one = std::make_unique<watched_fence>(box);
  watched_fence two(box);
  new_fence next = *fence::create(fence::allocate_contexts(1), 1);
  one->made.signal.signal();
  two.made.signal.signal();
  box.take(
      [&](watch& event) {
        if (one && &event == &one->event) return one.reset();
        event.is_queued = true;
        EXPECT_FALSE(next.fence->add_callback(event));
        next.signal.signal();
      },
      [](news&&) {});
  EXPECT_EQ(taken_from(box), std::vector<const watch*>{&two.event});
}

TEST(mailbox, wait_returns_when_enough_events_are_there) {
  mailbox box;
  std::array<watched_fence, 3> fences{watched_fence(box), watched_fence(box), watched_fence(box)};
  fences[0].made.signal.signal();
  fences[1].made.signal.signal();
  box.wait(2, no_deadline);  // at once
  std::thread signaller([&] { fences[2].made.signal.signal(); });
  box.wait(3, no_deadline);
  EXPECT_EQ(taken_from(box).size(), 3U);
  signaller.join();
}

TEST(mailbox, wait_ends_at_the_deadline) {
  mailbox box;
  watched_fence fence(box);
  const std::int64_t deadline = deadline_after(2'000'000);
  box.wait(1, deadline);
  EXPECT_GE(now_ns(), deadline);
  fence.made.signal.signal();
  EXPECT_EQ(taken_from(box).size(), 1U);
}

TEST(mailbox, news_wake_whatever_is_awaited) {
  mailbox box;
  std::thread reporter(
      [&] { box.post({.which = driver::cpu, .loaded = nullptr, .problem = "x"}); });
  box.wait(1000, no_deadline);
  std::vector<std::string> problems;
  while (problems.empty()) {
    box.take([](watch&) {}, [&](news&& what) { problems.push_back(what.problem); });
  }
  EXPECT_EQ(problems, std::vector<std::string>{"x"});
  reporter.join();
}

TEST(mailbox, a_written_descriptor_wakes) {
  mailbox box;
  const std::uint64_t one = 1;
  ASSERT_EQ(::write(box.wake_fd(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
  box.wait(1000, no_deadline);
  EXPECT_TRUE(taken_from(box).empty());
}

}  // namespace
}  // namespace ufence::tool
