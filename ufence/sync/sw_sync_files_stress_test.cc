// The cases of the kernel's sync tests (KS) and of IGT's sw_sync (IS), by id and name, through the
// C++ interface: software timelines, their fences as sync files, poll.
#include <poll.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <random>
#include <semaphore>
#include <thread>
#include <vector>

#include "ufence/sync/sw_sync.h"
#include "ufence/sync/testing/peer.h"

namespace ufence::testing {
namespace {

sw_sync make_line() { return sw_sync::create("test").value(); }

unique_fd file_at(sw_sync& line, std::uint32_t value) {
  return sync_file_create(line.create_fence(value).value()).value();
}
unique_fd merged(const unique_fd& a, const unique_fd& b) {
  return sync_file_merge(a.get(), b.get(), "merged").value();
}
// Readable within so many milliseconds.
bool wait_for(const unique_fd& file, int timeout_ms) {
  pollfd p{.fd = file.get(), .events = POLLIN, .revents = 0};
  return ::poll(&p, 1, timeout_ms) == 1;
}
constexpr int long_ms = 60'000;

int active(const unique_fd& file) { return info_of(file.get()).count(0); }
int signaled(const unique_fd& file) { return info_of(file.get()).count(1); }

// --- One fence ---

TEST(selftests_sync, KS01_IS01_alloc_timeline) { EXPECT_TRUE(sw_sync::create("line").has_value()); }

TEST(selftests_sync, KS02_IS02_alloc_fence) {
  sw_sync line = make_line();
  EXPECT_TRUE(file_at(line, 1));
}

TEST(selftests_sync, KS03_IS03_IS10_invalid_files_are_refused) {
  sw_sync line = make_line();
  const unique_fd file = file_at(line, 1);
  EXPECT_EQ(sync_file_merge(file.get(), -1).error(), errno_code(ENOENT));
  EXPECT_EQ(sync_file_merge(-1, file.get()).error(), errno_code(EBADF));
  EXPECT_EQ(sync_file_merge(-1, -1).error(), errno_code(EBADF));
  EXPECT_EQ(sync_file_merge(file.get(), 1).error(), errno_code(ENOENT));
}

TEST(igt_sw_sync, IS04_timeline_closed) {
  unique_fd file;
  {
    sw_sync line = make_line();
    file = file_at(line, 1);
  }
  EXPECT_TRUE(wait_for(file, 0));
  EXPECT_EQ(status_of(file.get()), -ENOENT);
}

TEST(igt_sw_sync, IS05_timeline_closed_signaled) {
  unique_fd file;
  {
    sw_sync line = make_line();
    file = file_at(line, 1);
    line.increment(1);
  }
  EXPECT_TRUE(wait_for(file, 0));
  EXPECT_EQ(status_of(file.get()), 1);
}

TEST(igt_sw_sync, IS06_alloc_merge_fence) {
  sw_sync a = make_line();
  sw_sync b = make_line();
  const unique_fd first = file_at(a, 1);
  const unique_fd second = file_at(b, 1);
  EXPECT_TRUE(merged(first, second));
}

TEST(selftests_sync, KS04_IS07_fence_one_timeline_wait) {
  sw_sync line = make_line();
  const unique_fd file = file_at(line, 5);
  EXPECT_FALSE(wait_for(file, 0));
  line.increment(1);
  EXPECT_FALSE(wait_for(file, 0));
  line.increment(4);
  EXPECT_TRUE(wait_for(file, 0));
  EXPECT_TRUE(wait_for(file, 0));
  line.increment(10);
  EXPECT_TRUE(wait_for(file, 0));
}

TEST(igt_sw_sync, IS08_sync_busy_fork) {
  // The timeline is another process's; the test tells it to move.
  peer mover([](int line) {
    sw_sync timeline = make_line();
    tell(line, 'f', file_at(timeline, 1).get());
    if (hear(line).what == 'i') timeline.increment(1);
    hear(line);
    return 0;
  });
  const unique_fd file = hear(mover.line()).fd;
  EXPECT_FALSE(wait_for(file, 0));
  tell(mover.line(), 'i');
  EXPECT_TRUE(wait_for(file, long_ms));
}

TEST(igt_sw_sync, IS09_sync_busy_fork_unixsocket) {
  sw_sync timeline = make_line();
  const unique_fd file = file_at(timeline, 1);
  peer waiter([](int line) {
    const unique_fd passed = hear(line).fd;
    UFENCE_CHILD_EXPECT(!wait_for(passed, 0));
    tell(line, 'r');
    UFENCE_CHILD_EXPECT(wait_for(passed, long_ms));
    UFENCE_CHILD_EXPECT(status_of(passed.get()) == 1);
    return 0;
  });
  tell(waiter.line(), 'f', file.get());
  ASSERT_EQ(hear(waiter.line()).what, 'r');
  timeline.increment(1);
  EXPECT_EQ(waiter.join(), 0);
}

// --- Merging ---

TEST(selftests_sync, KS05_IS11_fence_one_timeline_merge) {
  sw_sync line = make_line();
  const unique_fd a = file_at(line, 1);
  const unique_fd b = file_at(line, 2);
  const unique_fd c = file_at(line, 3);
  const unique_fd d = merged(merged(a, b), c);
  EXPECT_EQ(active(a), 1);
  EXPECT_EQ(active(d), 1);
  line.increment(1);
  EXPECT_EQ(active(a), 0);
  EXPECT_EQ(active(d), 1);
  line.increment(1);
  EXPECT_EQ(active(d), 1);
  EXPECT_FALSE(wait_for(d, 0));
  line.increment(1);
  EXPECT_EQ(active(d), 0);
  EXPECT_EQ(signaled(d), 1);
  EXPECT_TRUE(wait_for(d, 0));
}

TEST(selftests_sync, KS06_IS12_fence_merge_same_fence) {
  sw_sync line = make_line();
  const unique_fd a = file_at(line, 5);
  const unique_fd same = merged(a, a);
  EXPECT_EQ(info_of(same.get()).leaves.size(), 1U);
  EXPECT_EQ(signaled(same), 0);
  line.increment(5);
  EXPECT_EQ(signaled(same), 1);
}

TEST(selftests_sync, KS07_IS13_fence_multi_timeline_wait) {
  std::array lines{make_line(), make_line(), make_line()};
  const unique_fd a = file_at(lines[0], 5);
  const unique_fd b = file_at(lines[1], 5);
  const unique_fd c = file_at(lines[2], 5);
  const unique_fd all = merged(merged(a, b), c);
  EXPECT_EQ(active(all), 3);
  for (int done = 1; done <= 3; ++done) {
    EXPECT_FALSE(wait_for(all, 0));
    lines[static_cast<std::size_t>(done - 1)].increment(5);
    EXPECT_EQ(active(all), 3 - done);
    EXPECT_EQ(signaled(all), done);
  }
  EXPECT_TRUE(wait_for(all, 100));
}

TEST(igt_sw_sync, IS17_sync_expired_merge) {
  sw_sync line = make_line();
  sw_sync other = make_line();
  line.increment(100);
  const unique_fd a = file_at(line, 1);
  const unique_fd b = file_at(line, 1);
  EXPECT_TRUE(wait_for(a, 0));
  EXPECT_TRUE(wait_for(merged(a, b), 0));
  const unique_fd pending = file_at(other, 1);
  const unique_fd mixed = merged(a, pending);
  EXPECT_FALSE(wait_for(mixed, 0));
  EXPECT_EQ(active(mixed), 1);
  other.increment(1);
  EXPECT_TRUE(wait_for(mixed, 0));
}

// --- Many threads ---

TEST(selftests_sync, KS08_stress_two_threads_shared_timeline) {
  constexpr std::uint32_t rounds = 1000;
  sw_sync line = make_line();
  std::uint32_t counter = 0;  // handed over by the timeline
  std::array<std::atomic<int>, 2> wrong{};
  const auto run = [&](std::uint32_t id) {
    for (std::uint32_t i = 0; i < rounds; ++i) {
      const unique_fd turn = file_at(line, 2 * i + id);
      // The value is read under the timeline's lock, which hands the counter over.
      const bool is_turn = wait_for(turn, long_ms) && line.value() >= 2 * i + id;
      if (!is_turn || counter != 2 * i + id) ++wrong[id];
      ++counter;
      line.increment(1);
    }
  };
  std::thread other(run, 1);
  run(0);
  other.join();
  EXPECT_EQ(wrong[0] + wrong[1], 0);
  EXPECT_EQ(counter, 2 * rounds);
}

TEST(selftests_sync, KS09_IS16_consumer_stress_multi_producer_single_consumer) {
  constexpr std::uint32_t rounds = 500;
  constexpr std::size_t producers = 5;
  sw_sync consumer = make_line();
  std::vector<sw_sync> lines;
  for (std::size_t i = 0; i < producers; ++i) lines.push_back(make_line());
  std::atomic<std::uint32_t> counter = 0;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (std::size_t id = 0; id < producers; ++id) {
    threads.emplace_back([&, id] {
      for (std::uint32_t i = 0; i < rounds; ++i) {
        const unique_fd turn = file_at(consumer, i);
        if (!wait_for(turn, long_ms)) ++wrong;
        ++counter;
        lines[id].increment(1);
      }
    });
  }
  for (std::uint32_t round = 1; round <= rounds; ++round) {
    unique_fd all = file_at(lines[0], round);
    for (std::size_t id = 1; id < producers; ++id) all = merged(all, file_at(lines[id], round));
    if (round % 2 == 0) {
      EXPECT_TRUE(wait_for(all, long_ms));
    } else {
      EXPECT_TRUE(eventually([&] { return status_of(all.get()) == 1; }));
    }
    EXPECT_EQ(counter, producers * round);
    consumer.increment(1);
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST(igt_sw_sync, IS14_sync_multi_consumer) {
  constexpr std::uint32_t rounds = 300;
  constexpr int consumers = 8;
  sw_sync line = make_line();
  std::atomic<int> seen = 0;
  std::vector<std::thread> threads;
  for (int id = 0; id < consumers; ++id) {
    threads.emplace_back([&] {
      for (std::uint32_t i = 1; i <= rounds; ++i) {
        if (wait_for(file_at(line, i), long_ms) && line.value() >= i) ++seen;
      }
    });
  }
  for (std::uint32_t i = 0; i < rounds; ++i) {
    line.increment(1);
    std::this_thread::yield();
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(seen, consumers * static_cast<int>(rounds));
}

TEST(igt_sw_sync, IS15_sync_multi_consumer_producer) {
  constexpr std::uint32_t rounds = 300;
  sw_sync line = make_line();
  std::counting_semaphore<> work(0);
  std::atomic<std::uint32_t> produced = 0;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int id = 0; id < 2; ++id) {
    threads.emplace_back([&] {  // each waits for its value, whichever thread makes it
      for (std::uint32_t i = 1; i <= rounds; ++i) {
        if (!wait_for(file_at(line, i), long_ms) || produced < i) ++wrong;
      }
    });
    threads.emplace_back([&] {
      for (std::uint32_t i = 0; i < rounds / 2; ++i) {
        work.acquire();
        ++produced;
        line.increment(1);
      }
    });
  }
  for (std::uint32_t i = 0; i < rounds; ++i) work.release();
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(line.value(), rounds);
}

// --- Random merges ---

void random_merge(int merges) {
  constexpr std::size_t lines_max = 32;
  std::mt19937 random(20261120);
  std::vector<sw_sync> lines;
  for (std::size_t i = 0; i < lines_max; ++i) lines.push_back(make_line());
  std::map<std::size_t, std::uint32_t> latest;
  unique_fd all = file_at(lines[0], 0);
  for (int i = 0; i < merges; ++i) {
    const std::size_t which = random() % lines_max;
    const std::uint32_t value = random() & 0x7fffffff;
    latest[which] = std::max(latest[which], value);
    all = merged(all, file_at(lines[which], value));
  }
  EXPECT_EQ(info_of(all.get()).leaves.size(), latest.size());
  for (const auto& [which, value] : latest) {
    EXPECT_FALSE(wait_for(all, 0));
    lines[which].increment(value);
  }
  EXPECT_TRUE(wait_for(all, 0));
}

TEST(selftests_sync, KS10_merge_stress_random_merge) { random_merge(32768); }
TEST(igt_sw_sync, IS18_sync_random_merge) { random_merge(1024); }

}  // namespace
}  // namespace ufence::testing
