#include "ufence/fence/live.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "ufence/base/clock.h"
#include "ufence/fence/timeline.h"
#include "ufence/fence/wait.h"

namespace ufence {
namespace {

bool is_listed(const timeline& wanted) {
  struct search {
    const timeline* wanted;
    bool found = false;
  } s{.wanted = &wanted};
  detail::visit_timelines(
      [](timeline& line, void* context) {
        auto& search_for = *static_cast<search*>(context);
        if (&line == search_for.wanted) search_for.found = true;
      },
      &s);
  return s.found;
}

struct seen_thread {
  detail::sleeps_for what;
  std::vector<const fence*> fences;
  std::int64_t since_ns;
  int id;
};

std::vector<seen_thread> sleeping() {
  std::vector<seen_thread> all;
  detail::visit_sleeping_threads(
      [](const detail::sleeping_thread& thread, void* context) {
        seen_thread seen{
            .what = thread.what(), .fences = {}, .since_ns = thread.since_ns(), .id = thread.id()};
        for (std::size_t i = 0; i < thread.size(); ++i) seen.fences.push_back(&thread.at(i));
        static_cast<std::vector<seen_thread>*>(context)->push_back(std::move(seen));
      },
      &all);
  return all;
}

seen_thread until_one_sleeps() {
  for (;;) {
    const std::vector<seen_thread> all = sleeping();
    if (all.size() == 1) return all[0];
    std::this_thread::yield();
  }
}

TEST(live_timelines, are_those_that_somebody_refers_to) {
  const timeline* first = nullptr;
  fence_ref kept;
  {
    auto one = timeline_issuer::create({.timeline_name = "one"});
    auto two = timeline_issuer::create({.timeline_name = "two"});
    auto three = timeline_issuer::create({.timeline_name = "three"});
    ASSERT_TRUE(one && two && three);
    first = one->line().get();
    EXPECT_TRUE(is_listed(*first));
    const timeline* const second = two->line().get();
    EXPECT_TRUE(is_listed(*second));
    EXPECT_TRUE(is_listed(*three->line()));
    kept = *one->emit();
    // The one in the middle of the list goes; its neighbours stay.
    two->fail(-ECANCELED);
    *two = std::move(*timeline_issuer::create({}));
    EXPECT_TRUE(is_listed(*first));
    EXPECT_TRUE(is_listed(*three->line()));
    one->fail(-ECANCELED);
  }
  // Its fence refers to it.
  EXPECT_TRUE(is_listed(*first));
  kept.reset();
  std::size_t left = 0;
  detail::visit_timelines([](timeline&, void* context) { ++*static_cast<std::size_t*>(context); },
                          &left);
  EXPECT_EQ(left, 0U);
}

TEST(sleeping_threads, are_listed_while_they_wait) {
  auto made = fence::create(fence::allocate_contexts(1), 1);
  ASSERT_TRUE(made);
  const std::int64_t before = now_ns();
  std::atomic<int> id{0};
  EXPECT_TRUE(sleeping().empty());
  std::thread waiter([&] {
    id = ::gettid();
    EXPECT_FALSE(made->fence->wait());
  });
  const seen_thread seen = until_one_sleeps();
  EXPECT_EQ(seen.what, detail::sleeps_for::signaled);
  EXPECT_EQ(seen.fences, std::vector<const fence*>{made->fence.get()});
  EXPECT_EQ(seen.id, id.load());
  EXPECT_GE(seen.since_ns, before);
  EXPECT_LE(seen.since_ns, now_ns());
  made->signal.signal();
  waiter.join();
  EXPECT_TRUE(sleeping().empty());
}

TEST(sleeping_threads, tell_which_fences_they_wait_for_any_of) {
  for (const std::size_t count : {std::size_t{3}, std::size_t{200}}) {  // by futex, by callbacks
    std::vector<fence_ref> fences;
    std::vector<signaler> rights;
    for (std::size_t i = 0; i < count; ++i) {
      auto made = fence::create(fence::allocate_contexts(1), 1);
      ASSERT_TRUE(made);
      fences.push_back(made->fence);
      rights.push_back(std::move(made->signal));
    }
    std::thread waiter([&] { EXPECT_EQ(wait_any(fences, no_deadline), 1U); });
    const seen_thread seen = until_one_sleeps();
    EXPECT_EQ(seen.what, detail::sleeps_for::any);
    ASSERT_EQ(seen.fences.size(), count);
    for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(seen.fences[i], fences[i].get());
    rights[1].signal();
    waiter.join();
    EXPECT_TRUE(sleeping().empty());
    for (signaler& right : rights) right.signal();
  }
}

TEST(sleeping_threads, that_only_look_are_not_listed) {
  auto made = fence::create(fence::allocate_contexts(1), 1);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->fence->wait(no_wait), errno_code(ETIME));
  EXPECT_TRUE(sleeping().empty());
  made->signal.signal();
}

TEST(sleeping_threads, of_a_parent_are_not_in_its_child) {
  auto made = fence::create(fence::allocate_contexts(1), 1);
  ASSERT_TRUE(made);
  std::thread waiter([&] { EXPECT_FALSE(made->fence->wait()); });
  until_one_sleeps();
  const pid_t child = ::fork();
  if (child == 0) ::_exit(sleeping().empty() ? 0 : 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(sleeping().size(), 1U);
  made->signal.signal();
  waiter.join();
}

}  // namespace
}  // namespace ufence
