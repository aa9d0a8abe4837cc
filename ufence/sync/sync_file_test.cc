// Sync files in the process that makes them.
#include "ufence/sync/sync_file.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "ufence/container/array.h"
#include "ufence/container/chain.h"
#include "ufence/container/unwrap.h"
#include "ufence/io/reactor.h"
#include "ufence/sync/sync_test_support.h"

namespace ufence::testing {
namespace {

TEST(sync_file, is_readable_once_its_fence_is_signaled_and_for_ever) {
  new_fence f = make_fence();
  const unique_fd file = sync_file_create(f.fence).value();
  EXPECT_EQ(events_of(file.get()), 0);
  f.signal.signal();
  EXPECT_EQ(events_of(file.get()), POLLIN);
  EXPECT_EQ(events_of(file.get()), POLLIN);
  f.fence.reset();
  EXPECT_EQ(events_of(file.get()), POLLIN);
}

TEST(sync_file, of_a_failed_fence_is_readable_without_an_error) {
  new_fence f = make_fence();
  const unique_fd file = sync_file_create(f.fence).value();
  f.signal.signal(-EIO);
  EXPECT_EQ(events_of(file.get()), POLLIN);
  EXPECT_EQ(status_of(file.get()), -EIO);
}

TEST(sync_file, of_a_signaled_fence_is_born_readable) {
  const unique_fd file = sync_file_create(fence::stub()).value();
  EXPECT_EQ(events_of(file.get()), POLLIN);
  const file_info told = info_of(file.get());
  EXPECT_EQ(told.status, 1);
  ASSERT_EQ(told.leaves.size(), 1U);
  EXPECT_EQ(told.leaves[0].driver, "stub");
  EXPECT_EQ(told.leaves[0].timeline, "stub");
}

TEST(sync_file, wakes_epoll_and_each_of_its_duplicates) {
  new_fence f = make_fence();
  const unique_fd file = sync_file_create(f.fence).value();
  const unique_fd duplicate(::dup(file.get()));
  const unique_fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event e{.events = EPOLLIN, .data = {.u64 = 7}};
  ASSERT_EQ(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, duplicate.get(), &e), 0);
  std::thread signaller([&] { f.signal.signal(); });
  epoll_event got{};
  EXPECT_EQ(::epoll_wait(epoll.get(), &got, 1, 120'000), 1);
  EXPECT_EQ(got.events, static_cast<std::uint32_t>(EPOLLIN));
  EXPECT_TRUE(becomes_readable(file.get()));
  signaller.join();
}

TEST(sync_file, is_closed_on_exec) {
  const unique_fd file = sync_file_create(fence::stub()).value();
  EXPECT_NE(::fcntl(file.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(sync_file, gives_the_very_fence_back) {
  new_fence f = make_fence();
  const unique_fd file = sync_file_create(f.fence).value();
  const unique_fd duplicate(::dup(file.get()));
  EXPECT_EQ(sync_file_get_fence(file.get()).value(), f.fence);
  EXPECT_EQ(sync_file_get_fence(duplicate.get()).value(), f.fence);
  const unique_fd other = sync_file_create(f.fence).value();
  EXPECT_EQ(sync_file_get_fence(other.get()).value(), f.fence);
  f.signal.signal();
  EXPECT_EQ(sync_file_get_fence(file.get()).value(), f.fence);
}

TEST(sync_file, drops_its_reference_with_its_last_duplicate) {
  new_fence f = make_fence();
  unique_fd file = sync_file_create(f.fence).value();
  unique_fd duplicate(::dup(file.get()));
  file.reset();
  EXPECT_EQ(sync_file_get_fence(duplicate.get()).value(), f.fence);
  duplicate.reset();
  f.fence.reset();
  f.signal.signal();  // the leak check finds what would stay
}

TEST(sync_file, keeps_a_fence_whose_issuer_is_gone) {
  unique_fd file;
  {
    timeline_issuer line = make_timeline({.driver_name = "gone", .timeline_name = "ring 3"});
    const fence_ref f = line.emit().value();
    file = sync_file_create(f).value();
    line.fail(-ENODEV);
  }
  const file_info told = info_of(file.get());
  EXPECT_EQ(told.status, -ENODEV);
  ASSERT_EQ(told.leaves.size(), 1U);
  EXPECT_EQ(told.leaves[0].driver, "gone");
  EXPECT_EQ(told.leaves[0].timeline, "ring 3");
  EXPECT_EQ(told.leaves[0].status, -ENODEV);
  EXPECT_EQ(events_of(file.get()), POLLIN);
}

TEST(sync_file, tells_names_status_and_times_of_every_leaf) {
  timeline_issuer a = make_timeline({.driver_name = "alpha", .timeline_name = "ring a"});
  timeline_issuer b = make_timeline({.driver_name = "beta", .timeline_name = "ring b"});
  const fence_ref first = a.emit().value();
  const fence_ref second = b.emit().value();
  const fence_ref both = merge(std::array{first, second}).value();
  const unique_fd file = sync_file_create(both, "both of them").value();
  file_info told = info_of(file.get());
  EXPECT_EQ(told.name, "both of them");
  EXPECT_EQ(told.status, 0);
  ASSERT_EQ(told.leaves.size(), 2U);
  EXPECT_EQ(told.leaves[0].driver, "alpha");
  EXPECT_EQ(told.leaves[1].timeline, "ring b");
  EXPECT_EQ(told.leaves[1].timestamp_ns, 0U);

  const std::int64_t before = now_ns();
  EXPECT_TRUE(b.signal(*second, -ECANCELED));
  told = info_of(file.get());
  EXPECT_EQ(told.status, 0);  // the first leaf decides
  EXPECT_EQ(told.leaves[0].status, 0);
  EXPECT_EQ(told.leaves[1].status, -ECANCELED);
  EXPECT_GE(told.leaves[1].timestamp_ns, static_cast<std::uint64_t>(before));
  EXPECT_EQ(events_of(file.get()), 0);
  a.signal_up_to(1);
  b.fail(-ECANCELED);
  told = info_of(file.get());
  EXPECT_EQ(told.status, -ECANCELED);
  EXPECT_EQ(told.leaves[0].status, 1);
  EXPECT_EQ(events_of(file.get()), POLLIN);
}

TEST(sync_file, info_checks_its_arguments_and_counts) {
  new_fence a = make_fence();
  new_fence b = make_fence();
  const fence_ref both = merge(std::array{a.fence, b.fence}).value();
  const unique_fd file = sync_file_create(both).value();
  ::sync_file_info info{};
  EXPECT_EQ(sync_file_get_info(file.get(), info), no_error);
  EXPECT_EQ(info.num_fences, 2U);
  ::sync_fence_info one{};
  info.sync_fence_info = reinterpret_cast<std::uintptr_t>(&one);
  info.num_fences = 1;
  EXPECT_EQ(sync_file_get_info(file.get(), info), errno_code(EINVAL));
  info = {};
  info.flags = 1;
  EXPECT_EQ(sync_file_get_info(file.get(), info), errno_code(EINVAL));
  info = {};
  info.pad = 1;
  EXPECT_EQ(sync_file_get_info(file.get(), info), errno_code(EINVAL));
  info = {};
  EXPECT_EQ(sync_file_get_info(-1, info), errno_code(EBADF));
  a.signal.signal();
  b.signal.signal();
}

TEST(sync_file, has_the_kernels_default_name) {
  timeline_issuer line = make_timeline({.driver_name = "drv", .timeline_name = "tl"});
  const fence_ref f = line.emit().value();
  const unique_fd file = sync_file_create(f).value();
  EXPECT_EQ(info_of(file.get()).name, "drv-tl" + std::to_string(f->context()) + "-1");
  const unique_fd longer = sync_file_create(f, std::string(60, 'x')).value();
  EXPECT_EQ(info_of(longer.get()).name, std::string(31, 'x'));
  line.signal_up_to(1);
}

// However fast the one who watches is; of those that label and verdict tell all of, and that their
// maker keeps.
TEST(sync_file, regress_tells_an_edge_once) {
  constexpr std::uint64_t rounds = 50;
  constexpr std::uint64_t kept = 8;
  timeline_issuer line = make_timeline();
  const unique_fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  std::atomic<std::uint64_t> told = 0;
  std::atomic<int> told_again = 0;
  std::thread watcher([&] {
    while (told < rounds * kept) {
      epoll_event e{};
      if (::epoll_wait(epoll.get(), &e, 1, 120'000) != 1) return;
      if (e.events == EPOLLIN && e.data.u64 == told + 1) {
        ++told;
      } else {
        ++told_again;
      }
    }
  });
  std::array<unique_fd, kept> files;
  for (std::uint64_t i = 1; i <= rounds * kept; ++i) {
    unique_fd& file = files[i % kept];
    file = sync_file_create(line.emit().value()).value();
    epoll_event e{.events = EPOLLIN | EPOLLET, .data = {.u64 = i}};
    EXPECT_EQ(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, file.get(), &e), 0);
    line.signal_up_to(i);
    while (told < i && told_again == 0) std::this_thread::yield();
    if (i % kept != 0) continue;
    for (unique_fd& one : files) one.reset();
    EXPECT_TRUE(eventually([] {
      const scoped_lock guard(detail::the_reactor.lock);
      return detail::the_reactor.count() == 0;
    }));
  }
  watcher.join();
  EXPECT_EQ(told, rounds * kept);
  EXPECT_EQ(told_again, 0);
}

TEST(sync_file, refuses_what_is_none) {
  EXPECT_EQ(sync_file_create(nullptr).error(), errno_code(EINVAL));
  const unique_fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  const unique_fd one(ends[0]);
  const unique_fd two(ends[1]);
  const unique_fd file = sync_file_create(fence::stub()).value();
  for (const int fd : {null.get(), one.get()}) {
    EXPECT_EQ(sync_file_get_fence(fd).error(), errno_code(EINVAL));
    EXPECT_EQ(sync_file_merge(fd, file.get()).error(), errno_code(EINVAL));
    EXPECT_EQ(sync_file_merge(file.get(), fd).error(), errno_code(ENOENT));
    EXPECT_EQ(sync_file_set_deadline(fd, INT64_C(1)), errno_code(EINVAL));
    ::sync_file_info info{};
    EXPECT_EQ(sync_file_get_info(fd, info), errno_code(EINVAL));
  }
  EXPECT_EQ(sync_file_get_fence(-1).error(), errno_code(EBADF));
  EXPECT_EQ(sync_file_merge(-1, file.get()).error(), errno_code(EBADF));
  EXPECT_EQ(sync_file_merge(file.get(), -1).error(), errno_code(ENOENT));
}

TEST(sync_file, merge_waits_for_both) {
  new_fence a = make_fence();
  new_fence b = make_fence();
  const unique_fd first = sync_file_create(a.fence).value();
  const unique_fd second = sync_file_create(b.fence).value();
  const unique_fd both = sync_file_merge(first.get(), second.get(), "merged").value();
  EXPECT_EQ(info_of(both.get()).name, "merged");
  EXPECT_EQ(info_of(both.get()).leaves.size(), 2U);
  a.signal.signal();
  EXPECT_EQ(events_of(both.get()), 0);
  EXPECT_EQ(info_of(both.get()).count(1), 1);
  b.signal.signal();
  EXPECT_EQ(events_of(both.get()), POLLIN);
  EXPECT_EQ(info_of(both.get()).count(1), 2);
  const unique_fd same = sync_file_merge(first.get(), first.get()).value();
  EXPECT_EQ(info_of(same.get()).leaves.size(), 1U);
}

TEST(sync_file, regress_merge_waits_for_what_an_issuer_completes_in_any_order) {
  timeline_issuer line = make_timeline({.driver_name = "any order", .timeline_name = "ring"});
  new_fence first = line.create_unordered().value();
  new_fence second = line.create_unordered().value();
  const unique_fd one = sync_file_create(first.fence).value();
  const unique_fd two = sync_file_create(second.fence).value();
  const unique_fd both = sync_file_merge(one.get(), two.get()).value();
  ASSERT_EQ(info_of(both.get()).leaves.size(), 2U);
  EXPECT_EQ(info_of(both.get()).leaves[0].driver, "any order");
  EXPECT_EQ(info_of(both.get()).leaves[1].timeline, "ring");
  second.signal.signal();
  EXPECT_EQ(events_of(both.get()), 0);
  EXPECT_EQ(info_of(both.get()).count(0), 1);
  first.signal.signal();
  EXPECT_EQ(events_of(both.get()), POLLIN);
}

TEST(sync_file, passes_a_deadline_on) {
  scripted_backend data;
  std::int64_t wanted = 0;
  data.on_set_deadline = [&](std::int64_t ns) { wanted = ns; };
  new_fence f = make_fence(&data);
  const unique_fd file = sync_file_create(f.fence).value();
  EXPECT_EQ(sync_file_set_deadline(file.get(), INT64_C(12345)), no_error);
  EXPECT_EQ(wanted, 12345);
  f.signal.signal();
}

TEST(sync_file, counts_what_a_chain_still_has) {
  std::vector<new_fence> fences;
  fence_ref tail;
  for (std::uint64_t point = 1; point <= 3; ++point) {
    fences.push_back(make_fence());
    tail = fence_chain::create(tail, fences.back().fence, point).value();
  }
  const unique_fd file = sync_file_create(tail).value();
  EXPECT_EQ(info_of(file.get()).leaves.size(), 3U);
  fences[0].signal.signal();
  fences[1].signal.signal();
  EXPECT_EQ(info_of(file.get()).leaves.size(), 1U);
  fences[2].signal.signal();
  EXPECT_EQ(events_of(file.get()), POLLIN);
}

TEST(sync_file, of_a_chain_of_4096_points_is_told_whole) {
  std::vector<new_fence> fences;
  fence_ref tail;
  const auto extend_to = [&](std::uint64_t points) {
    while (fences.size() < points) {
      fences.push_back(make_fence());
      tail = fence_chain::create(tail, fences.back().fence, fences.size()).value();
    }
  };
  extend_to(4096);
  const fence_ref chain = tail;
  const unique_fd file = sync_file_create(chain).value();
  EXPECT_EQ(info_of(file.get()).leaves.size(), 4096U);
  extend_to(8192);
  EXPECT_EQ(sync_file_create(tail).error(), errno_code(E2BIG));
  for (new_fence& f : fences) f.signal.signal();
  EXPECT_TRUE(becomes_readable(file.get()));
}

}  // namespace
}  // namespace ufence::testing
