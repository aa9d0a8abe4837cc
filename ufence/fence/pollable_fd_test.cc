// fence::pollable_fd(): for programs whose loop waits for descriptors.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "ufence/base/fd.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/timeline.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

bool is_readable(const unique_fd& fd, int timeout_ms = 0) {
  pollfd p{.fd = fd.get(), .events = POLLIN, .revents = 0};
  return ::poll(&p, 1, timeout_ms) == 1 && (p.revents & POLLIN) != 0;
}
constexpr int patience_ms = 30'000;

std::size_t open_descriptors() {
  std::size_t n = 0;
  DIR* dir = ::opendir("/proc/self/fd");
  while (dir != nullptr && ::readdir(dir) != nullptr) ++n;
  if (dir != nullptr) ::closedir(dir);
  return n;
}

class epoll {
 public:
  epoll() : fd_(::epoll_create1(EPOLL_CLOEXEC)) {}
  void add(const unique_fd& fd, std::uint32_t events, std::uint32_t id) {
    epoll_event event{.events = events, .data = {.u32 = id}};
    ASSERT_EQ(::epoll_ctl(fd_.get(), EPOLL_CTL_ADD, fd.get(), &event), 0);
  }
  // The ids that are ready now, or after waiting for the first of them.
  std::set<std::uint32_t> ready(int timeout_ms = 0) {
    std::array<epoll_event, 64> events;
    const int n =
        ::epoll_wait(fd_.get(), events.data(), static_cast<int>(events.size()), timeout_ms);
    std::set<std::uint32_t> ids;
    for (int i = 0; i < n; ++i) ids.insert(events[static_cast<std::size_t>(i)].data.u32);
    return ids;
  }

 private:
  unique_fd fd_;
};

// Allows this many more descriptors than are open now.
class descriptor_limit {
 public:
  explicit descriptor_limit(unsigned spare) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    // The limit is on numbers: fill the holes, so that the next one is the highest + 1.
    for (;;) {
      unique_fd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      const bool is_highest = ::fcntl(fd.get() + 1, F_GETFD) < 0 && is_above_all(fd.get());
      const int next = fd.get();
      if (is_highest) {
        rlimit now = before_;
        now.rlim_cur = static_cast<rlim_t>(next) + spare;
        ::setrlimit(RLIMIT_NOFILE, &now);
        return;
      }
      fillers_.push_back(std::move(fd));
    }
  }
  ~descriptor_limit() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  static bool is_above_all(int fd) {
    for (int other = fd + 1; other < fd + 1024; ++other) {
      if (::fcntl(other, F_GETFD) >= 0) return false;
    }
    return true;
  }
  rlimit before_{};
  std::vector<unique_fd> fillers_;
};

}  // namespace

TEST(pollable_fd, becomes_readable_with_the_signal_and_stays_so) {
  new_fence made = make_fence();
  const unique_fd fd = made.fence->pollable_fd().value();
  EXPECT_FALSE(is_readable(fd));
  made.signal.signal();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(is_readable(fd));
  EXPECT_NE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(pollable_fd, of_a_signaled_fence_is_readable_at_once) {
  new_fence made = make_fence();
  made.signal.signal(-EIO);
  EXPECT_TRUE(is_readable(made.fence->pollable_fd().value()));
  EXPECT_TRUE(is_readable(fence::stub()->pollable_fd().value()));
  timeline_issuer issuer = make_timeline();
  const fence_ref ordered = issuer.emit().value();
  issuer.signal_up_to(1);
  EXPECT_TRUE(is_readable(ordered->pollable_fd().value()));
}

TEST(pollable_fd, wakes_poll) {
  timeline_issuer issuer = make_timeline();
  const fence_ref f = issuer.emit().value();
  const unique_fd fd = f->pollable_fd().value();
  std::jthread signals([&] { issuer.signal_up_to(1); });
  EXPECT_TRUE(is_readable(fd, patience_ms));
  EXPECT_TRUE(f->is_signaled());
}

TEST(pollable_fd, works_in_epoll_by_level_and_by_edge) {
  new_fence made = make_fence();
  const unique_fd level = made.fence->pollable_fd().value();
  const unique_fd edge = made.fence->pollable_fd().value();
  epoll loop;
  loop.add(level, EPOLLIN, 1);
  loop.add(edge, EPOLLIN | EPOLLET, 2);
  EXPECT_TRUE(loop.ready().empty());
  std::thread signals([&] { made.signal.signal(); });
  std::set<std::uint32_t> seen;
  while (seen.size() < 2) {
    const std::set<std::uint32_t> ready = loop.ready(patience_ms);
    ASSERT_FALSE(ready.empty());
    seen.insert(ready.begin(), ready.end());
  }
  signals.join();
  EXPECT_EQ(loop.ready(), (std::set<std::uint32_t>{1})) << "level stays, an edge comes once";
}

TEST(pollable_fd, many_of_one_and_of_many_fences) {
  std::vector<new_fence> fences;
  std::vector<unique_fd> descriptors;
  epoll loop;
  for (std::uint32_t i = 0; i < 50; ++i) {
    fences.push_back(make_fence());
    descriptors.push_back(fences.back().fence->pollable_fd().value());
    loop.add(descriptors.back(), EPOLLIN, i);
  }
  std::set<std::uint32_t> expected;
  for (std::uint32_t i = 0; i < 50; i += 7) {
    fences[i].signal.signal();
    expected.insert(i);
    EXPECT_EQ(loop.ready(), expected);
  }
  std::vector<unique_fd> same;
  for (int i = 0; i < 20; ++i) same.push_back(fences[1].fence->pollable_fd().value());
  for (const unique_fd& fd : same) EXPECT_FALSE(is_readable(fd));
  for (new_fence& made : fences) {
    if (made.signal) made.signal.signal();
  }
  for (const unique_fd& fd : same) EXPECT_TRUE(is_readable(fd));
}

TEST(pollable_fd, may_be_closed_before_the_signal_and_its_number_used_again) {
  new_fence made = make_fence();
  const std::size_t before = open_descriptors();
  const int number = made.fence->pollable_fd().value().release();
  ASSERT_EQ(::close(number), 0);
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC | O_NONBLOCK), 0);
  made.signal.signal();
  for (const int end : pipe) {
    std::array<char, 8> byte{};
    EXPECT_LT(::read(end, byte.data(), byte.size()), 0) << "nobody wrote to another's descriptor";
    ::close(end);
  }
  EXPECT_EQ(open_descriptors(), before) << "no leak";
}

TEST(pollable_fd, is_usable_while_the_fence_and_its_issuer_are_gone) {
  unique_fd fd;
  {
    kept_reports reports;
    timeline_issuer issuer = make_timeline();
    fd = issuer.emit().value()->pollable_fd().value();
    EXPECT_FALSE(is_readable(fd));
  }
  EXPECT_TRUE(is_readable(fd)) << "failed with the timeline";
}

TEST(pollable_fd, enables_signaling) {
  scripted_backend data;
  data.on_enable_signaling = [] { return 1; };
  new_fence made = make_fence(&data);
  EXPECT_TRUE(is_readable(made.fence->pollable_fd().value()));
  EXPECT_EQ(data.enables, 1);
  made.signal.signal();
}

TEST(pollable_fd, without_free_descriptors_leaves_all_as_it_was) {
  for (const unsigned spare : {0U, 1U}) {
    new_fence made = make_fence();
    scripted_callback node;
    ASSERT_EQ(made.fence->add_callback(node), no_error);
    std::error_code failed;
    {
      const descriptor_limit limit(spare);
      const result<unique_fd> fd = made.fence->pollable_fd();
      if (!fd) failed = fd.error();
    }
    EXPECT_EQ(failed, errno_code(EMFILE)) << spare;
    EXPECT_EQ(made.fence->remove_callback(node), result<bool>(true));
    settlement later;
    const unique_fd works = made.fence->pollable_fd().value();
    made.signal.decide(0, later);
    EXPECT_FALSE(later.empty()) << "the second call's node";
    later.settle();
    EXPECT_TRUE(is_readable(works));
  }
}

TEST(pollable_fd, is_not_written_to) {
  new_fence made = make_fence();
  const unique_fd fd = made.fence->pollable_fd().value();
  ASSERT_EQ(::fcntl(fd.get(), F_SETFL, 0), 0);
  const std::uint64_t most = UINT64_MAX - 1;
  EXPECT_LT(::write(fd.get(), &most, sizeof most), 0);
  EXPECT_EQ(errno, EPIPE);
  EXPECT_FALSE(is_readable(fd));
  EXPECT_TRUE(made.signal.signal());
  EXPECT_TRUE(is_readable(fd));
}

TEST(pollable_fd, stays_readable_after_stray_reads) {
  new_fence made = make_fence();
  const unique_fd fd = made.fence->pollable_fd().value();
  EXPECT_TRUE(made.signal.signal());
  for (int i = 0; i < 3; ++i) {
    std::uint64_t count = 0;
    static_cast<void>(::read(fd.get(), &count, sizeof count));
    EXPECT_TRUE(is_readable(fd)) << i;
  }
}

TEST(pollable_fd, tells_watchers_of_edges_once) {
  for (int i = 0; i < 200; ++i) {
    new_fence made = make_fence();
    const unique_fd fd = made.fence->pollable_fd().value();
    epoll loop;
    loop.add(fd, EPOLLIN | EPOLLRDHUP | EPOLLET, 1);
    std::thread signals([&] { made.signal.signal(); });
    while (loop.ready().empty()) std::this_thread::yield();
    signals.join();
    ASSERT_TRUE(loop.ready().empty()) << i;
  }
}
