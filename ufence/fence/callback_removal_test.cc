// F11 across threads: callbacks that run at once and remove each other.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <new>
#include <optional>
#include <thread>
#include <vector>

#include "ufence/fence/callback.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/testing/support.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

const result<bool> not_removed = false;
const result<bool> deadlock = failure(EDEADLK);

// n fences, each settled by a thread of its own; its callback, once all run, removes the next
// one's.
std::vector<result<bool>> remove_in_a_circle(std::size_t n) {
  std::vector<new_fence> fences;
  std::vector<std::unique_ptr<scripted_callback>> nodes;
  std::vector<result<bool>> answers(n, true);
  std::atomic<std::size_t> running = 0;
  for (std::size_t i = 0; i < n; ++i) {
    fences.push_back(make_fence());
    nodes.push_back(std::make_unique<scripted_callback>());
  }
  for (std::size_t i = 0; i < n; ++i) {
    nodes[i]->then([&, i](fence&) {
      ++running;
      EXPECT_TRUE(eventually([&] { return running == n; }));
      const std::size_t next = (i + 1) % n;
      answers[i] = fences[next].fence->remove_callback(*nodes[next]);
    });
    EXPECT_EQ(fences[i].fence->add_callback(*nodes[i]), no_error);
  }
  std::vector<std::thread> threads;
  for (new_fence& made : fences) threads.emplace_back([&] { made.signal.signal(); });
  for (std::thread& t : threads) t.join();
  return answers;
}

void expect_one_told(const std::vector<result<bool>>& answers) {
  std::size_t told = 0;
  for (const result<bool>& answer : answers) {
    if (answer == deadlock) {
      ++told;
    } else {
      EXPECT_EQ(answer, not_removed);
    }
  }
  EXPECT_EQ(told, 1U) << "the one that would close the circle is told, the others wait";
}

}  // namespace

TEST(F11_mutual_removal, of_two_running_callbacks_is_EDEADLK) {
  for (int round = 0; round < 50; ++round) expect_one_told(remove_in_a_circle(2));
}

TEST(F11_mutual_removal, of_three_running_callbacks_is_EDEADLK) {
  for (int round = 0; round < 50; ++round) expect_one_told(remove_in_a_circle(3));
}

TEST(F11_mutual_removal, of_eight_running_callbacks_is_EDEADLK) {
  for (int round = 0; round < 10; ++round) expect_one_told(remove_in_a_circle(8));
}

TEST(F11_mutual_removal, a_chain_that_is_no_circle_waits) {
  // b's callback removes a's, which runs; a's ends by itself.
  new_fence a = make_fence();
  new_fence b = make_fence();
  door leave;
  scripted_callback in_a([&](fence&) { leave.pass(); });
  result<bool> answer = true;
  scripted_callback in_b([&](fence&) { answer = a.fence->remove_callback(in_a); });
  ASSERT_EQ(a.fence->add_callback(in_a), no_error);
  ASSERT_EQ(b.fence->add_callback(in_b), no_error);
  std::thread settles_a([&] { a.signal.signal(); });
  ASSERT_TRUE(eventually([&] { return in_a.runs() == 1; }));
  std::thread settles_b([&] { b.signal.signal(); });
  ASSERT_TRUE(eventually([&] { return in_b.runs() == 1; }));
  leave.open();
  settles_a.join();
  settles_b.join();
  EXPECT_EQ(answer, not_removed);
}

TEST(F11_mutual_removal, nested_settling_counts_as_running_too) {
  // The callback calls an op, and the op removes: the callback below it counts.
  new_fence a = make_fence();
  new_fence b = make_fence();
  scripted_backend data;
  new_fence polled = make_fence(&data);
  std::atomic<int> running = 0;
  std::array<result<bool>, 2> answers{true, true};
  scripted_callback in_a;
  scripted_callback in_b;
  data.on_poll = [&] {
    ++running;
    EXPECT_TRUE(eventually([&] { return running == 2; }));
    answers[0] = b.fence->remove_callback(in_b);
    return 0;
  };
  in_a.then([&](fence&) { static_cast<void>(polled.fence->poll()); });
  in_b.then([&](fence&) {
    ++running;
    EXPECT_TRUE(eventually([&] { return running == 2; }));
    answers[1] = a.fence->remove_callback(in_a);
  });
  ASSERT_EQ(a.fence->add_callback(in_a), no_error);
  ASSERT_EQ(b.fence->add_callback(in_b), no_error);
  std::thread settles_a([&] { a.signal.signal(); });
  std::thread settles_b([&] { b.signal.signal(); });
  settles_a.join();
  settles_b.join();
  polled.signal.signal();
  expect_one_told({answers[0], answers[1]});
}

TEST(hole_callbacks, two_that_remove_finished_ones_of_each_others_fences_do_not_wait) {
  new_fence a = make_fence();
  new_fence b = make_fence();
  scripted_callback finished_a;
  scripted_callback finished_b;
  std::atomic<int> running = 0;
  std::array<result<bool>, 2> answers{true, true};
  scripted_callback in_a([&](fence&) {
    ++running;
    EXPECT_TRUE(eventually([&] { return running == 2; }));
    answers[0] = b.fence->remove_callback(finished_b);
  });
  scripted_callback in_b([&](fence&) {
    ++running;
    EXPECT_TRUE(eventually([&] { return running == 2; }));
    answers[1] = a.fence->remove_callback(finished_a);
  });
  ASSERT_EQ(a.fence->add_callback(finished_a), no_error);
  ASSERT_EQ(a.fence->add_callback(in_a), no_error);
  ASSERT_EQ(b.fence->add_callback(finished_b), no_error);
  ASSERT_EQ(b.fence->add_callback(in_b), no_error);
  std::thread settles_a([&] { a.signal.signal(); });
  std::thread settles_b([&] { b.signal.signal(); });
  settles_a.join();
  settles_b.join();
  EXPECT_EQ(answers[0], not_removed);
  EXPECT_EQ(answers[1], not_removed);
}

TEST(hole_callbacks, a_new_node_in_the_memory_of_one_that_freed_itself) {
  // The old callback still runs on this thread; the new one, at the same address, on another.
  for (int round = 0; round < 20; ++round) {
    new_fence first = make_fence();
    new_fence second = make_fence();
    std::optional<scripted_callback> memory;
    door leave;
    std::atomic<bool> second_runs = false;
    bool second_returned = false;
    bool returned_in_time = false;
    result<bool> answer = true;
    memory.emplace([&](fence&) {
      memory.emplace([&](fence&) {
        second_runs = true;
        leave.pass();
        second_returned = true;
      });
      EXPECT_EQ(second.fence->add_callback(*memory), no_error);
      std::thread settles([&] { second.signal.signal(); });
      EXPECT_TRUE(eventually([&] { return second_runs.load(); }));
      std::thread opens([&] { leave.open(); });
      answer = second.fence->remove_callback(*memory);
      returned_in_time = second_returned;
      opens.join();
      settles.join();
    });
    ASSERT_EQ(first.fence->add_callback(*memory), no_error);
    first.signal.signal();
    EXPECT_EQ(answer, not_removed);
    EXPECT_TRUE(returned_in_time) << "a barrier also there";
  }
}
