// The cases of the kernel's test programs for syncobjs, by their ids.
#include "ufence/sync/syncobj_table.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <csignal>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <numeric>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "ufence/sync/sync_file.h"
#include "ufence/sync/syncobj_file.h"
#include "ufence/syncobj/testing/syncobj_support.h"

namespace ufence {
namespace {

using namespace syncobj_flag;
using namespace testing;
using index_or = result<std::size_t>;

const std::error_code unknown = errno_code(ENOENT);
constexpr std::uint32_t illegal_handle = 0xDEADBEEF;
constexpr std::uint32_t illegal_flag = 0x80;

enum class state : std::uint8_t { unsubmitted, submitted, signaled };

/// A table, and the device that completes what was submitted. The cases of binary syncobjs run with
/// `point` 0, those of timelines with one.
class node {
 public:
  explicit node(std::uint64_t point = 0) : point_(point) {}
  ~node() {
    for (auto& [handle, right] : pending_) right.signal();
  }
  node(const node&) = delete;
  node& operator=(const node&) = delete;

  syncobj_table table;

  std::uint32_t create(state s = state::unsubmitted) {
    const std::uint32_t h = table.create().value();
    if (s != state::unsubmitted) submit(h);
    if (s == state::signaled) complete(h);
    return h;
  }
  void submit(std::uint32_t h) { submit(h, point_); }
  void submit(std::uint32_t h, std::uint64_t point) {
    new_fence made = make_fence();
    if (point == 0) {
      EXPECT_EQ(table.find(h)->replace_fence(made.fence), no_error);
    } else {
      EXPECT_EQ(table.find(h)->add_point(made.fence, point), no_error);
    }
    pending_.emplace(h, std::move(made.signal));
  }
  /// What was submitted to it first.
  void complete(std::uint32_t h) {
    const auto first = pending_.find(h);
    ASSERT_NE(first, pending_.end());
    first->second.signal();
    pending_.erase(first);
  }

  index_or wait(std::vector<std::uint32_t> hs, std::uint32_t flags, std::int64_t timeout = 0) {
    const std::vector<std::uint64_t> ps(hs.size(), point_);
    return table.wait(hs, point_ != 0 ? syncobj_table::points(ps) : syncobj_table::points(),
                      point_ != 0, flags, timeout);
  }
  std::error_code outcome(std::vector<std::uint32_t> hs, std::uint32_t flags,
                          std::int64_t timeout = 0) {
    const index_or r = wait(std::move(hs), flags, timeout);
    return r ? no_error : r.error();
  }
  std::error_code reset(std::vector<std::uint32_t> hs) { return table.reset(hs); }
  std::error_code signal(std::vector<std::uint32_t> hs) {
    if (point_ == 0) return table.signal(hs);
    return signal(hs, std::vector<std::uint64_t>(hs.size(), point_));
  }
  std::error_code signal(std::vector<std::uint32_t> hs, std::vector<std::uint64_t> ps) {
    return table.signal_points(hs, ps);
  }
  std::uint64_t query(std::uint32_t h, std::uint32_t flags = 0) {
    std::array<std::uint64_t, 1> value{};
    EXPECT_EQ(table.query(std::array{h}, value, flags), no_error);
    return value[0];
  }
  [[nodiscard]] bool is_timeline() const { return point_ != 0; }

 private:
  const std::uint64_t point_;
  std::multimap<std::uint32_t, signaler> pending_;
};

// Each case for both kinds.
class syncobj_wait : public ::testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(SW_binary, syncobj_wait, ::testing::Values(0));
INSTANTIATE_TEST_SUITE_P(ST_timeline, syncobj_wait, ::testing::Values(7));

/// What a wait must say of objects in these states.
std::error_code expected(const std::vector<state>& states, std::uint32_t flags) {
  const bool may_be_absent = (flags & (wait_for_submit | wait_available)) != 0;
  if (!may_be_absent && std::ranges::count(states, state::unsubmitted) != 0) return not_there;
  const state enough = (flags & wait_available) != 0 ? state::submitted : state::signaled;
  const auto done = [&](state s) { return s >= enough; };
  const bool all = (flags & wait_all) != 0;
  return (all ? std::ranges::all_of(states, done) : std::ranges::any_of(states, done)) ? no_error
                                                                                       : timed_out;
}

std::vector<std::uint32_t> all_flags(bool timeline) {
  std::vector<std::uint32_t> found;
  for (std::uint32_t flags = 0; flags < 8; ++flags) {
    if (timeline || (flags & wait_available) == 0) found.push_back(flags);
  }
  return found;
}

void check_wait(node& n, const std::vector<state>& states, std::uint32_t flags) {
  std::vector<std::uint32_t> hs;
  for (const state s : states) hs.push_back(n.create(s));
  const std::error_code right = expected(states, flags);
  EXPECT_EQ(n.outcome(hs, flags, 0), right) << flags;
  EXPECT_EQ(n.outcome(hs, flags, INT64_MIN), right) << flags;
  EXPECT_EQ(n.outcome(hs, flags, deadline_after(millisecond_ns)), right) << flags;
  if (right != timed_out) {
    EXPECT_EQ(n.outcome(hs, flags, INT64_MAX), right) << flags;
  }
}

}  // namespace

// --- SB: basics ---

TEST(syncobj_basic, SB01_bad_destroy) {
  syncobj_table table;
  EXPECT_EQ(table.destroy(illegal_handle), errno_code(EINVAL));
  EXPECT_EQ(table.destroy(0), errno_code(EINVAL));
  const std::uint32_t h = table.create().value();
  EXPECT_EQ(table.destroy(h), no_error);
  EXPECT_EQ(table.destroy(h), errno_code(EINVAL));
}

TEST(syncobj_basic, SB02_bad_create_flags) {
  syncobj_table table;
  EXPECT_EQ(table.create(illegal_flag).error(), errno_code(EINVAL));
  EXPECT_EQ(table.size(), 0U);
}

TEST(syncobj_basic, SB03_SB05_bad_handle_to_fd) {
  syncobj_table table;
  const std::uint32_t h = table.create().value();
  EXPECT_EQ(table.to_fd(illegal_handle).error(), errno_code(EINVAL));
  EXPECT_EQ(table.to_fd(h, illegal_flag).error(), errno_code(EINVAL)) << "bad-flags";
  EXPECT_EQ(table.to_fd(h, 0, 1).error(), errno_code(EINVAL)) << "a point";
  EXPECT_EQ(table.to_fd(h, at_point, 1).error(), errno_code(EINVAL));
  EXPECT_EQ(table.to_fd(illegal_handle, sync_file).error(), unknown) << "of a sync file ENOENT";
  EXPECT_EQ(table.to_fd(h, sync_file).error(), not_there);
}

TEST(syncobj_basic, SB04_SB06_SB09_bad_fd_to_handle) {
  syncobj_table table;
  const std::uint32_t h = table.create().value();
  const unique_fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const unique_fd file = sync_file_create(fence::stub()).value();
  for (const int fd : {-1, null.get(), file.get()}) {
    EXPECT_EQ(table.from_fd(fd).error(), errno_code(EINVAL));
  }
  const unique_fd good = table.to_fd(h).value();
  EXPECT_EQ(table.from_fd(good.get(), illegal_flag).error(), errno_code(EINVAL)) << "bad-flags";
  EXPECT_EQ(table.from_fd(good.get(), 0, 0, 1).error(), errno_code(EINVAL)) << "a point";
  for (const int fd : {-1, null.get(), good.get()}) {
    EXPECT_EQ(table.from_fd(fd, sync_file, h).error(), errno_code(EINVAL)) << "not a sync file";
  }
  EXPECT_EQ(table.from_fd(file.get(), sync_file, illegal_handle).error(), unknown);
  EXPECT_EQ(table.size(), 1U);
}

TEST(syncobj_basic, SB11_create_signaled) {
  node n;
  const std::uint32_t h = n.table.create(create_signaled).value();
  EXPECT_EQ(n.wait({h}, 0, 0), index_or(0));
  EXPECT_GT(n.table.find(h)->current().value()->timestamp_ns(), 0);
}

TEST(syncobj_basic, SB12_test_valid_cycle) {
  syncobj_table table;
  const std::uint32_t first = table.create().value();
  unique_fd fd = table.to_fd(first).value();
  const std::uint32_t second = table.from_fd(fd.get()).value();
  EXPECT_NE(first, second);
  EXPECT_EQ(table.find(first), table.find(second));
  EXPECT_EQ(table.destroy(first), no_error);
  EXPECT_EQ(table.destroy(second), no_error);
  const unique_fd other(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  fd.reset();
  const std::uint32_t third = table.from_fd(other.get()).value();
  EXPECT_TRUE(table.find(third)) << "the descriptor keeps the object";
  EXPECT_EQ(table.insert(nullptr).error(), errno_code(EINVAL));
}

TEST(syncobj_basic, a_holder_that_shuts_its_descriptor_down_ends_it_for_nobody) {
  syncobj_table table;
  const unique_fd fd = table.to_fd(table.create().value()).value();
  const unique_fd other(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  ASSERT_EQ(::shutdown(fd.get(), SHUT_RDWR), 0);
  const std::uint64_t until = static_cast<std::uint64_t>(now_ns()) + 50 * millisecond_ns;
  while (static_cast<std::uint64_t>(now_ns()) < until) {
    ASSERT_TRUE(syncobj_import(other.get()).has_value());
  }
}

TEST(syncobj_timeline, sync_files_of_points) {
  node n;
  const std::uint32_t line = n.create();
  const std::uint32_t other = n.create();
  n.submit(line, 3);
  EXPECT_EQ(n.table.to_fd(line, sync_file | at_point, 4).error(), not_there);
  const unique_fd file = n.table.to_fd(line, sync_file | at_point, 2).value();
  EXPECT_EQ(n.table.from_fd(file.get(), sync_file | at_point, other, 9).value(), other);
  EXPECT_EQ(n.query(other, last_submitted), 9U);
  const std::uint32_t binary = n.create();
  EXPECT_EQ(n.table.from_fd(file.get(), sync_file, binary).value(), binary);
  EXPECT_EQ(n.query(other), 0U);
  EXPECT_EQ(n.outcome({binary}, 0), timed_out);
  n.complete(line);
  EXPECT_EQ(n.query(other), 9U);
  EXPECT_EQ(n.outcome({binary}, 0), no_error);
}

TEST(syncobj_basic, handles_are_the_lowest_free_numbers) {
  syncobj_table table;
  for (std::uint32_t i = 1; i <= 5; ++i) EXPECT_EQ(table.create().value(), i);
  EXPECT_EQ(table.destroy(4), no_error);
  EXPECT_EQ(table.destroy(2), no_error);
  EXPECT_EQ(table.create().value(), 2U);
  EXPECT_EQ(table.create().value(), 4U);
  EXPECT_EQ(table.create().value(), 6U);
  EXPECT_EQ(table.size(), 6U);
  EXPECT_FALSE(table.find(0));
}

// --- SW and ST: waits of both kinds ---

TEST_P(syncobj_wait, SW01_ST01_invalid_wait_bad_flags) {
  node n(GetParam());
  EXPECT_EQ(n.outcome({}, illegal_flag), errno_code(EINVAL));
  EXPECT_EQ(n.outcome({n.create(state::signaled)}, illegal_flag), errno_code(EINVAL));
  if (!n.is_timeline()) {
    EXPECT_EQ(n.outcome({}, wait_available), errno_code(EINVAL));
  }
}

TEST_P(syncobj_wait, SW02_ST01_wait_zero_handles) {
  node n(GetParam());
  for (const std::uint32_t flags : all_flags(n.is_timeline())) {
    EXPECT_EQ(n.outcome({}, flags), no_error);
  }
}

TEST_P(syncobj_wait, SW03_ST01_invalid_wait_illegal_handle) {
  node n(GetParam());
  EXPECT_EQ(n.outcome({0}, 0), unknown);
  EXPECT_EQ(n.outcome({n.create(state::signaled), illegal_handle}, 0), unknown);
}

TEST_P(syncobj_wait, SW04_SW05_ST04_invalid_reset) {
  node n(GetParam());
  EXPECT_EQ(n.reset({}), errno_code(EINVAL)) << "zero-handles";
  EXPECT_EQ(n.reset({illegal_handle}), unknown) << "illegal-handle";
}

TEST_P(syncobj_wait, SW06_ST04_invalid_reset_one_illegal_handle) {
  node n(GetParam());
  const std::uint32_t a = n.create(state::signaled);
  const std::uint32_t b = n.create(state::signaled);
  EXPECT_EQ(n.reset({a, illegal_handle, b}), unknown);
  EXPECT_EQ(n.outcome({a, b}, wait_all), no_error) << "the others are untouched";
}

TEST_P(syncobj_wait, SW08_SW09_ST03_invalid_signal) {
  node n(GetParam());
  EXPECT_EQ(n.signal({}), errno_code(EINVAL)) << "zero-handles";
  EXPECT_EQ(n.signal({illegal_handle}), unknown) << "illegal-handle";
  const std::uint32_t h = n.create();
  EXPECT_EQ(n.table.signal_points(std::array{h}, std::array{UINT64_C(1)}, 1), errno_code(EINVAL));
}

TEST_P(syncobj_wait, SW10_ST03_invalid_signal_one_illegal_handle) {
  node n(GetParam());
  const std::uint32_t a = n.create();
  const std::uint32_t b = n.create();
  EXPECT_EQ(n.signal({a, illegal_handle, b}), unknown);
  EXPECT_EQ(n.outcome({a}, 0), not_there) << "the others are untouched";
  EXPECT_EQ(n.outcome({b}, 0), not_there);
}

TEST_P(syncobj_wait, SW12_ST08_single_wait) {
  node n(GetParam());
  for (const std::uint32_t flags : all_flags(n.is_timeline())) {
    for (const state s : {state::unsubmitted, state::submitted, state::signaled}) {
      check_wait(n, {s}, flags);
    }
  }
}

TEST_P(syncobj_wait, SW13_ST09_multi_wait) {
  for (const std::uint32_t flags : all_flags(GetParam() != 0)) {
    for (unsigned code = 0; code < 27; ++code) {
      node n(GetParam());
      check_wait(n,
                 {static_cast<state>(code % 3), static_cast<state>(code / 3 % 3),
                  static_cast<state>(code / 9)},
                 flags);
    }
  }
}

TEST_P(syncobj_wait, SW13_of_many_handles) {
  for (const std::size_t count : {9U, 40U, 200U}) {
    node n(GetParam());
    std::vector<std::uint32_t> hs;
    for (std::size_t i = 0; i < count; ++i) hs.push_back(n.create(state::submitted));
    EXPECT_EQ(n.outcome(hs, 0), timed_out);
    n.complete(hs[count / 2]);
    EXPECT_EQ(n.wait(hs, 0), index_or(count / 2));
    EXPECT_EQ(n.outcome(hs, wait_all), timed_out);
    for (std::size_t i = 0; i < count; ++i) {
      if (i != count / 2) n.complete(hs[i]);
    }
    EXPECT_EQ(n.outcome(hs, wait_all), no_error);
    hs.push_back(n.create());
    EXPECT_EQ(n.outcome(hs, 0), not_there);
    EXPECT_EQ(n.outcome(hs, wait_for_submit), no_error);
    EXPECT_EQ(n.outcome(hs, wait_all | wait_for_submit), timed_out);
  }
}

TEST_P(syncobj_wait, SW14_ST10_delayed_signal_and_submit) {
  for (const std::uint32_t flags : all_flags(GetParam() != 0)) {
    node n(GetParam());
    const bool absent = (flags & (wait_for_submit | wait_available)) != 0;
    const std::vector<std::uint32_t> hs = {n.create(), n.create(), n.create()};
    if (!absent) {
      for (const std::uint32_t h : hs) n.submit(h);
    }
    blocked_call<index_or> call([&] { return n.wait(hs, flags, patience()); });
    call.until_asleep();
    EXPECT_FALSE(call.is_done());
    const bool all = (flags & wait_all) != 0;
    for (const std::uint32_t h : all ? hs : std::vector<std::uint32_t>{hs[1]}) {
      if (absent) n.submit(h);
      if ((flags & wait_available) == 0) n.complete(h);
    }
    EXPECT_EQ(call.get(), index_or(all ? 0 : 1)) << flags;
  }
}

TEST_P(syncobj_wait, SW15_ST11_reset_unsignaled) {
  node n(GetParam());
  const std::uint32_t h = n.create();
  EXPECT_EQ(n.outcome({h}, 0), not_there);
  EXPECT_EQ(n.reset({h}), no_error);
  EXPECT_EQ(n.outcome({h}, 0), not_there);
}

TEST_P(syncobj_wait, SW16_SW17_ST11_reset_signaled) {
  node n(GetParam());
  const std::vector<std::uint32_t> hs = {n.create(state::signaled), n.create(state::signaled),
                                         n.create(state::signaled)};
  EXPECT_EQ(n.outcome(hs, wait_all), no_error);
  EXPECT_EQ(n.reset(hs), no_error);
  for (const std::uint32_t h : hs) {
    EXPECT_EQ(n.outcome({h}, 0), not_there);
    EXPECT_EQ(n.outcome({h}, wait_for_submit), timed_out);
    EXPECT_EQ(n.query(h), 0U);
  }
}

TEST_P(syncobj_wait, SW18_ST11_reset_during_wait_for_submit) {
  node n(GetParam());
  const std::uint32_t h = n.create();
  blocked_call<index_or> call([&] { return n.wait({h}, wait_for_submit, patience()); });
  call.until_asleep();
  EXPECT_EQ(n.reset({h}), no_error);
  EXPECT_EQ(n.outcome({h}, wait_for_submit), timed_out);
  EXPECT_FALSE(call.is_done());
  EXPECT_EQ(n.signal({h}), no_error);
  EXPECT_EQ(call.get(), index_or(0));
}

TEST_P(syncobj_wait, SW19_ST12_signal) {
  node n(GetParam());
  const std::uint32_t h = n.create();
  EXPECT_EQ(n.outcome({h}, 0), not_there);
  EXPECT_EQ(n.outcome({h}, wait_for_submit), timed_out);
  EXPECT_EQ(n.signal({h}), no_error);
  EXPECT_EQ(n.outcome({h}, 0), no_error);
  EXPECT_EQ(n.outcome({h}, wait_for_submit), no_error);
}

TEST_P(syncobj_wait, SW20_ST13_snapshot) {
  for (const std::uint32_t flags : {0U, wait_all, wait_for_submit, wait_all | wait_for_submit}) {
    node n(GetParam());
    const bool absent = (flags & wait_for_submit) != 0;
    const std::vector<std::uint32_t> hs = {n.create(), n.create()};
    if (!absent) {
      n.submit(hs[0]);
      n.submit(hs[1]);
    }
    blocked_call<index_or> call([&] { return n.wait(hs, flags, patience()); });
    call.until_asleep();
    if (absent) n.submit(hs[0]);
    call.until_asleep();
    // The first is picked. What is put there now is not waited for.
    EXPECT_EQ(n.reset({hs[0]}), no_error);
    EXPECT_EQ(n.signal({hs[0]}), no_error);
    EXPECT_EQ(n.outcome({hs[0]}, 0), no_error);
    if (absent) n.submit(hs[1]);
    EXPECT_FALSE(call.is_done());
    n.complete(hs[1]);
    if ((flags & wait_all) != 0) {
      call.until_asleep();
      EXPECT_FALSE(call.is_done());
      n.complete(hs[0]);
      EXPECT_TRUE(call.get().has_value());
    } else {
      EXPECT_EQ(call.get(), index_or(1));
    }
  }
}

TEST_P(syncobj_wait, SW21_ST13_complex) {
  for (const std::uint32_t flags : {0U, wait_all, wait_for_submit, wait_all | wait_for_submit}) {
    node n(GetParam());
    const bool absent = (flags & wait_for_submit) != 0;
    std::vector<std::uint32_t> hs;
    for (int i = 0; i < 8; ++i) hs.push_back(n.create());
    std::vector<std::size_t> order(hs.size());
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937(flags + 1));
    if (!absent) {
      for (const std::uint32_t h : hs) n.submit(h);
    }
    blocked_call<index_or> call([&] { return n.wait(hs, flags, patience()); });
    call.until_asleep();
    for (const std::size_t i : order) {
      EXPECT_FALSE(call.is_done());
      if (absent) n.submit(hs[i]);
      n.complete(hs[i]);
      if ((flags & wait_all) == 0) {
        EXPECT_EQ(call.get(), index_or(i));
        break;
      }
    }
    if ((flags & wait_all) != 0) {
      EXPECT_TRUE(call.get().has_value());
    }
  }
}

TEST_P(syncobj_wait, SW22_ST13_interrupted) {
  struct sigaction quiet {};
  quiet.sa_handler = [](int) {};
  struct sigaction before {};
  ASSERT_EQ(::sigaction(SIGUSR1, &quiet, &before), 0);
  for (const std::uint32_t flags : {0U, wait_all}) {
    node n(GetParam());
    const std::vector<std::uint32_t> hs = {n.create(state::submitted), n.create(state::submitted)};
    std::atomic<bool> ended = false;
    const pthread_t waits = ::pthread_self();
    std::jthread interrupts([&] {
      while (!ended) {
        ::pthread_kill(waits, SIGUSR1);
        std::this_thread::yield();
      }
    });
    EXPECT_EQ(n.outcome(hs, flags, deadline_after(20 * millisecond_ns)), timed_out);
    ended = true;
  }
  ASSERT_EQ(::sigaction(SIGUSR1, &before, nullptr), 0);
}

TEST_P(syncobj_wait, hands_the_deadline_to_every_fence) {
  node n(GetParam());
  scripted_backend data;
  std::int64_t hint = 0;
  data.on_set_deadline = [&](std::int64_t ns) { hint = ns; };
  new_fence made = make_fence(&data);
  const std::uint32_t h = n.table.create().value();
  ASSERT_EQ(n.table.find(h)->add_point(made.fence, 7), no_error);
  const std::array<std::uint64_t, 1> p = {GetParam()};
  EXPECT_EQ(n.table.wait(std::array{h}, p, true, 0, 0, 4711).error(), timed_out);
  EXPECT_EQ(data.deadlines, 0) << "without the flag";
  EXPECT_EQ(n.table.wait(std::array{h}, p, true, wait_deadline, 0, 4711).error(), timed_out);
  EXPECT_EQ(hint, 4711);
  made.signal.signal();
}

// --- ST: timelines ---

TEST(syncobj_timeline, ST02_invalid_query) {
  node n;
  std::array<std::uint64_t, 2> values = {7, 7};
  EXPECT_EQ(n.table.query({}, {}), errno_code(EINVAL)) << "zero-handles";
  EXPECT_EQ(n.table.query(std::array{illegal_handle}, std::span(values).first(1)), unknown);
  const std::array hs = {n.create(), illegal_handle};
  EXPECT_EQ(n.table.query(hs, values), unknown) << "one-illegal-handle";
  EXPECT_EQ(n.table.query(std::array{hs[0]}, std::span(values).first(1), 2), errno_code(EINVAL))
      << "flags";
  EXPECT_EQ(values[0], 7U) << "nothing is written";
}

TEST(syncobj_timeline, ST03_invalid_signal_illegal_point) {
  node n;
  const std::uint32_t h = n.create();
  EXPECT_EQ(n.signal({h}, {1}), no_error);
  // Not later than the last: accepted, and the number does not go back.
  EXPECT_EQ(n.signal({h}, {1}), no_error);
  EXPECT_EQ(n.signal({h}, {0}), no_error);
  EXPECT_EQ(n.query(h), 1U);
  EXPECT_EQ(n.signal({h}, {1, 2}), errno_code(EINVAL)) << "as many points as handles";
}

TEST(syncobj_timeline, ST05_signal_array) {
  node n;
  const std::vector<std::uint32_t> hs = {n.create(), n.create(), n.create(), n.create()};
  EXPECT_EQ(n.signal(hs, {1, 2, 3, 4}), no_error);
  for (std::size_t i = 0; i < hs.size(); ++i) EXPECT_EQ(n.query(hs[i]), i + 1);
  EXPECT_EQ(n.signal({hs[0], hs[0], hs[0]}, {5, 6, 9}), no_error);
  EXPECT_EQ(n.query(hs[0]), 9U);
}

TEST(syncobj_timeline, ST06_invalid_transfer) {
  node n;
  const std::uint32_t a = n.create();
  const std::uint32_t b = n.create();
  EXPECT_EQ(n.table.transfer(illegal_handle, 1, b, 1), unknown);
  EXPECT_EQ(n.table.transfer(a, 1, illegal_handle, 1), unknown);
  EXPECT_EQ(n.table.transfer(a, 1, b, 1), not_there) << "non-existent-point";
  n.submit(a, 4);
  EXPECT_EQ(n.table.transfer(a, 5, b, 1), not_there);
  EXPECT_EQ(n.table.find(b)->current().value(), fence_ref());
}

TEST(syncobj_timeline, ST07_transfer_timeline_point) {
  node n;
  const std::uint32_t a = n.create();
  const std::uint32_t b = n.create();
  const std::uint32_t binary = n.create();
  n.submit(a, 3);
  EXPECT_EQ(n.table.transfer(a, 3, b, 10), no_error);
  EXPECT_EQ(n.table.transfer(a, 2, binary, 0), no_error) << "an earlier point is there with it";
  EXPECT_EQ(n.query(b), 0U);
  EXPECT_EQ(n.query(b, last_submitted), 10U);
  EXPECT_EQ(n.outcome({binary}, 0), timed_out);
  n.complete(a);
  for (const std::uint32_t h : {a, binary}) EXPECT_EQ(n.outcome({h}, 0), no_error);
  EXPECT_EQ(n.query(b), 10U);
  EXPECT_EQ(n.query(binary), 3U) << "the node itself was put there";
  EXPECT_EQ(n.table.transfer(binary, 0, a, 20), no_error) << "from point 0";
  EXPECT_EQ(n.query(a), 20U);
}

TEST(syncobj_timeline, ST07_transfer_waits_for_the_submission) {
  node n;
  const std::uint32_t a = n.create();
  const std::uint32_t b = n.create();
  blocked_call<std::error_code> call(
      [&] { return n.table.transfer(a, 3, b, 10, wait_for_submit); });
  call.until_asleep();
  EXPECT_EQ(n.signal({a}, {2}), no_error);
  EXPECT_EQ(n.signal({a}, {3}), no_error);
  EXPECT_EQ(call.get(), no_error);
  EXPECT_EQ(n.query(b), 10U);
  EXPECT_EQ(
      ufence::transfer({.object = n.table.find(a), .point = 9},
                       {.object = n.table.find(b), .point = 11}, deadline_after(millisecond_ns)),
      timed_out);
}

TEST(syncobj_timeline, R23_transfer_with_bad_flags_keeps_nothing) {
  node n;
  const std::uint32_t a = n.create(state::signaled);
  const std::uint32_t b = n.create();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(n.table.transfer(a, 0, b, 0, illegal_flag), errno_code(EINVAL));
  }
  const fence_ref left = n.table.find(a)->current().value();
  EXPECT_EQ(n.table.destroy(a), no_error);
  EXPECT_EQ(n.table.destroy(b), no_error);
  // The leak check of this program counts what is alive.
}

TEST(syncobj_timeline, ST12_signal_point_0) {
  node n;
  const std::uint32_t h = n.create();
  EXPECT_EQ(n.table.signal_points(std::array{h}, {}), no_error) << "no points: all 0";
  EXPECT_EQ(n.query(h), 0U);
  EXPECT_EQ(n.outcome({h}, 0), no_error);
  EXPECT_EQ(n.signal({h}, {1}), no_error);
  EXPECT_EQ(n.signal({h}, {0}), no_error);
  EXPECT_EQ(n.query(h), 1U);
}

TEST(syncobj_timeline, ST14_host_signal_points) {
  node n;
  const std::uint32_t h = n.create();
  std::mt19937_64 random(14);
  std::uint64_t point = 0;
  for (int i = 0; i < 100; ++i) {
    point += 1 + random() % 1000;
    EXPECT_EQ(n.signal({h}, {point}), no_error);
    EXPECT_EQ(n.query(h), point);
    EXPECT_EQ(n.query(h, last_submitted), point);
    const std::array<std::uint64_t, 1> later = {point + 1};
    EXPECT_EQ(n.table.wait(std::array{h}, later, true, 0, 0).error(), not_there);
    EXPECT_EQ(n.table.wait(std::array{h}, std::array{point}, true, 0, 0), index_or(0));
  }
}

// As many steps as points and handles, not as their product.
TEST(syncobj_timeline, regress_many_points_of_a_long_timeline_are_signaled_at_once) {
  node n;
  const std::array<std::uint32_t, 2> h = {n.create(), n.create()};
  new_fence pending = make_fence();
  constexpr std::uint64_t points_max = 20'000;
  for (std::uint64_t point = 1; point <= points_max; ++point) {
    result<fence_chain::room> room = fence_chain::reserve();
    ASSERT_TRUE(room);
    n.table.find(h[0])->add_point_untold(std::move(*room), pending.fence, point);
  }
  std::vector<std::uint32_t> handles;
  std::vector<std::uint64_t> points;
  for (std::uint64_t point = 1; point <= 10'000; ++point) {
    handles.push_back(h[point % 2]);
    points.push_back(points_max + point);
  }
  EXPECT_EQ(n.table.signal_points(handles, points, 0), no_error);
  EXPECT_EQ(n.query(h[0]), 0U);
  EXPECT_EQ(n.query(h[0], last_submitted), points_max + 10'000);
  EXPECT_EQ(n.query(h[1]), points_max + 9'999);
  pending.signal.signal();
  EXPECT_EQ(n.query(h[0]), points_max + 10'000);
}

TEST(syncobj_timeline, ST15_device_signal_unordered) {
  node n;
  const std::uint32_t h = n.create();
  std::vector<new_fence> made;
  for (std::uint64_t point = 1; point <= 5; ++point) {
    made.push_back(make_fence());
    ASSERT_EQ(n.table.find(h)->add_point(made.back().fence, point), no_error);
  }
  made[4].signal.signal();
  EXPECT_EQ(n.query(h), 0U);
  made[1].signal.signal();
  EXPECT_EQ(n.query(h), 0U);
  made[0].signal.signal();
  EXPECT_EQ(n.query(h), 2U);
  made[3].signal.signal();
  EXPECT_EQ(n.query(h), 2U);
  made[2].signal.signal();
  EXPECT_EQ(n.query(h), 5U);
}

TEST(syncobj_timeline, ST16_device_submit_unordered) {
  node n;
  const std::uint32_t h = n.create();
  std::vector<new_fence> made;
  const std::vector<std::uint64_t> points = {1, 5, 3, 6, 7};
  for (const std::uint64_t point : points) {
    made.push_back(make_fence());
    ASSERT_EQ(n.table.find(h)->add_point(made.back().fence, point), no_error);
  }
  EXPECT_EQ(n.query(h, last_submitted), 7U);
  // The run since the 3, which counts as another 5: it says nothing of what was before.
  const std::vector<std::uint64_t> after = {0, 0, 5, 6, 7};
  for (std::size_t i = 0; i < made.size(); ++i) {
    EXPECT_EQ(n.query(h), i == 0 ? 0 : after[i - 1]);
    made[i].signal.signal();
  }
  EXPECT_EQ(n.query(h), 7U);
}

TEST(syncobj_timeline, ST17_host_signal_ordered) {
  node n;
  const std::uint32_t h = n.create();
  n.submit(h, 1);
  EXPECT_EQ(n.signal({h}, {2}), no_error);
  EXPECT_EQ(n.query(h), 0U) << "1 is the device's";
  const std::array<std::uint64_t, 1> second = {2};
  EXPECT_EQ(n.table.wait(std::array{h}, second, true, 0, 0).error(), timed_out);
  n.complete(h);
  EXPECT_EQ(n.query(h), 2U);
  EXPECT_EQ(n.table.wait(std::array{h}, second, true, 0, 0), index_or(0));
}

TEST(syncobj_timeline, ST18_32bits_limit) {
  node n;
  const std::uint32_t h = n.create();
  constexpr std::uint64_t limit = UINT64_C(1) << 32;
  for (const std::uint64_t point : {limit - 1, limit, limit + 1}) {
    const std::array<std::uint64_t, 1> p = {point};
    EXPECT_EQ(n.table.wait(std::array{h}, p, true, 0, 0).error(), not_there);
    EXPECT_EQ(n.signal({h}, {point}), no_error);
    EXPECT_EQ(n.query(h), point);
    EXPECT_EQ(n.table.wait(std::array{h}, p, true, 0, 0), index_or(0));
  }
}

// --- SE: events ---

TEST(syncobj_eventfd, SE01_SE02_SE03_invalid) {
  node n;
  const event_counter event;
  const std::uint32_t h = n.create(state::signaled);
  EXPECT_EQ(n.table.notify(h, 0, illegal_flag, event.fd.get()), errno_code(EINVAL)) << "bad-flags";
  EXPECT_EQ(n.table.notify(illegal_handle, 0, 0, event.fd.get()), unknown) << "illegal-handle";
  const unique_fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_EQ(n.table.notify(h, 0, 0, null.get()), errno_code(EINVAL)) << "illegal-eventfd";
  EXPECT_EQ(n.table.notify(h, 0, 0, -1), errno_code(EBADF));
  EXPECT_EQ(event.take(), 0U);
}

TEST(syncobj_eventfd, regress_that_is_full_and_blocks_is_told_as_the_kernel_does) {
  syncobj_table table;
  const syncobj_table::handle h = table.create().value();
  const unique_fd event(::eventfd(0, EFD_CLOEXEC));
  const std::uint64_t full = UINT64_MAX - 1;
  ASSERT_EQ(::write(event.get(), &full, sizeof full), ssize_t{sizeof full});
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(table.notify(h, 0, 0, event.get()), no_error);
  }
  const std::array hs{h};
  ASSERT_EQ(table.signal(hs), no_error);
  std::uint64_t count = 0;
  ASSERT_EQ(::read(event.get(), &count, sizeof count), ssize_t{sizeof count});
  EXPECT_EQ(count, UINT64_MAX);
}

class syncobj_eventfd_of : public ::testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(binary, syncobj_eventfd_of, ::testing::Values(0));
INSTANTIATE_TEST_SUITE_P(timeline, syncobj_eventfd_of, ::testing::Values(7));

TEST_P(syncobj_eventfd_of, SE05_SE06_wait) {
  node n(GetParam());
  const event_counter signaled;
  const event_counter available;
  const std::uint32_t h = n.create(state::submitted);
  EXPECT_EQ(n.table.notify(h, GetParam(), 0, signaled.fd.get()), no_error);
  EXPECT_EQ(n.table.notify(h, GetParam(), wait_available, available.fd.get()), no_error);
  EXPECT_EQ(signaled.take(), 0U);
  EXPECT_EQ(available.take(), 1U);
  n.complete(h);
  EXPECT_EQ(signaled.take(), 1U);
  EXPECT_EQ(available.take(), 0U) << "once";
}

TEST_P(syncobj_eventfd_of, SE07_SE08_wait_before_signal) {
  node n(GetParam());
  const event_counter signaled;
  const event_counter available;
  const std::uint32_t h = n.create();
  EXPECT_EQ(n.table.notify(h, GetParam(), 0, signaled.fd.get()), no_error);
  EXPECT_EQ(n.table.notify(h, GetParam(), wait_available, available.fd.get()), no_error);
  EXPECT_EQ(signaled.take(), 0U);
  EXPECT_EQ(available.take(), 0U);
  n.submit(h);
  EXPECT_EQ(signaled.take(), 0U);
  EXPECT_EQ(available.take(), 1U);
  n.complete(h);
  EXPECT_EQ(signaled.take(), 1U);
}

TEST_P(syncobj_eventfd_of, SE09_SE10_wait_signaled) {
  node n(GetParam());
  const event_counter signaled;
  const event_counter available;
  const std::uint32_t h = n.create(state::signaled);
  EXPECT_EQ(n.table.notify(h, GetParam(), 0, signaled.fd.get()), no_error);
  EXPECT_EQ(n.table.notify(h, GetParam(), wait_available, available.fd.get()), no_error);
  EXPECT_EQ(signaled.take(), 1U);
  EXPECT_EQ(available.take(), 1U);
}

TEST(syncobj_table, regress_in_a_child_of_fork_answers_EOWNERDEAD) {
  syncobj_table table;
  const std::uint32_t h = table.create().value();
  std::atomic<bool> stop = false;
  std::jthread busy([&] {
    while (!stop) static_cast<void>(table.destroy(table.create().value()));
  });
  for (int forks = 0; forks < 100; ++forks) {
    const int child = in_child([&] {
      const std::error_code dead = errno_code(EOWNERDEAD);
      const std::array hs{h};
      std::array<std::uint64_t, 1> values{};
      UFENCE_CHILD_EXPECT(table.find(h) == nullptr);
      UFENCE_CHILD_EXPECT(table.size() == 0);
      UFENCE_CHILD_EXPECT(table.create().error() == dead);
      UFENCE_CHILD_EXPECT(table.destroy(h) == dead);
      UFENCE_CHILD_EXPECT(table.wait(hs, {}, false, wait_for_submit, no_deadline).error() == dead);
      UFENCE_CHILD_EXPECT(table.reset(hs) == dead && table.signal(hs) == dead);
      UFENCE_CHILD_EXPECT(table.query(hs, values) == dead);
      UFENCE_CHILD_EXPECT(table.transfer(h, 0, h, 1) == dead);
      UFENCE_CHILD_EXPECT(table.notify(h, 0, 0, 0) == dead);
      UFENCE_CHILD_EXPECT(table.to_fd(h).error() == dead);
      UFENCE_CHILD_EXPECT(table.from_fd(0, sync_file, h).error() == dead);
      syncobj_table own;
      UFENCE_CHILD_EXPECT(own.create().value() == 1);
      return 0;
    });
    ASSERT_EQ(child, 0);
  }
  stop = true;
}

}  // namespace ufence
