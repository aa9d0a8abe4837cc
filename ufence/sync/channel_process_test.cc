// Channels between processes that die.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <array>
#include <random>
#include <vector>

#include "ufence/fence/testing/refuse_call.h"
#include "ufence/fence/wait.h"
#include "ufence/sync/channel.h"
#include "ufence/sync/sync_file.h"
#include "ufence/sync/syncobj_file.h"
#include "ufence/sync/testing/processes.h"
#include "ufence/syncobj/testing/syncobj_support.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

channel end_of(const test_pipe& pipe) {
  return channel::adopt(unique_fd(::fcntl(pipe.get(), F_DUPFD_CLOEXEC, 0))).value();
}

parcel fence_parcel(std::uint64_t tag, const fence_ref& f) {
  parcel p{.tag = tag};
  p.items.push_back({.fence = f});
  return p;
}

}  // namespace

TEST(channel_process, a_fence_and_a_timeline_are_signaled_from_afar) {
  child_process other([](const test_pipe& pipe) {
    channel here = end_of(pipe);
    new_fence made = make_fence();
    const shared_timeline_ref line = shared_timeline::create().value();
    const syncobj_ref object = syncobj::create().value();
    UFENCE_CHILD_EXPECT(object->add_point(made.fence, 3) == no_error);
    parcel p = fence_parcel(1, made.fence);
    p.items.push_back({.object = object});
    p.items.push_back({.timeline = line});
    UFENCE_CHILD_EXPECT(here.send(p, patience()) == no_error);
    UFENCE_CHILD_EXPECT(here.receive(patience()).value().tag == 2);
    UFENCE_CHILD_EXPECT(line->signal(1) == no_error);
    made.signal.signal(-EIO);
    UFENCE_CHILD_EXPECT(here.receive(patience()).value().tag == 3);
    return 0;
  });
  channel there = end_of(other.pipe());
  const parcel got = there.receive(patience()).value();
  EXPECT_EQ(got.sender.pid, other.pid());
  EXPECT_FALSE(got.items[0].fence->is_signaled());
  EXPECT_EQ(got.items[1].object->last_submitted(), result<std::uint64_t>(3));
  EXPECT_EQ(got.items[2].timeline->wait(1, no_wait), timed_out);
  EXPECT_EQ(there.send({.tag = 2}, no_wait), no_error);
  EXPECT_EQ(got.items[2].timeline->wait(1, patience()), no_error);
  EXPECT_EQ(got.items[0].fence->wait(patience()), no_error);
  EXPECT_EQ(got.items[0].fence->status(), -EIO);
  EXPECT_EQ(wait(std::array{syncobj_point{got.items[1].object, 3}}, patience()),
            result<std::size_t>(0));
  EXPECT_EQ(there.send({.tag = 3}, no_wait), no_error);
  EXPECT_EQ(other.end(), 0);
}

TEST(channel_process, regress_a_wait_that_the_system_refuses_ends) {
  for (const int error : {EPERM, ENOSYS}) {
    EXPECT_EQ(in_child([&] {
                std::pair<channel, channel> ends = channel::pair().value();
                UFENCE_CHILD_EXPECT(refuse_call(SYS_ppoll, error));
                UFENCE_CHILD_EXPECT(ends.first.receive(no_deadline).error() == errno_code(error));
                return 0;
              }),
              0);
  }
}

// No number of its own, which others could guess: no sync file, and no waiting for one.
TEST(channel_process, regress_refused_random_numbers_are_told) {
  EXPECT_EQ(in_child([&] {
              new_fence made = make_fence();
              const shared_timeline_ref line = shared_timeline::create().value();
              UFENCE_CHILD_EXPECT(refuse_call(SYS_getrandom, EPERM));
              UFENCE_CHILD_EXPECT(sync_file_create(made.fence).error() == errno_code(EPERM));
              UFENCE_CHILD_EXPECT(syncobj_export(syncobj::create().value()).error() ==
                                  errno_code(EPERM));
              UFENCE_CHILD_EXPECT(line->signal(1) == no_error);
              made.signal.signal();
              return 0;
            }),
            0);
}

TEST(channel_process, a_sender_that_is_killed_sent_whole_parcels_and_its_fences_end) {
  std::mt19937 random(7);
  for (int round = 0; round < 20; ++round) {
    until_alone();
    child_process other([](const test_pipe& pipe) {
      channel here = end_of(pipe);
      std::vector<new_fence> pending;
      for (std::uint64_t tag = 0;; ++tag) {
        pending.push_back(make_fence());
        parcel p = fence_parcel(tag, pending.back().fence);
        p.bytes.resize(tag % 4000, static_cast<std::byte>(tag));
        UFENCE_CHILD_EXPECT(here.send(p, patience()) == no_error);
      }
    });
    channel there = end_of(other.pipe());
    std::vector<fence_ref> fences;
    const std::uint64_t until = random() % 30;
    std::error_code failed;
    for (std::uint64_t tag = 0; !failed; ++tag) {
      if (tag == until) ::kill(other.pid(), SIGKILL);
      const result<parcel> got = there.receive(patience());
      if (!got) {
        failed = got.error();
        break;
      }
      ASSERT_EQ(got->tag, tag);
      ASSERT_EQ(got->bytes, std::vector<std::byte>(tag % 4000, static_cast<std::byte>(tag)));
      ASSERT_EQ(got->items.size(), 1U);
      fences.push_back(got->items[0].fence);
    }
    EXPECT_EQ(failed, errno_code(EPIPE));
    EXPECT_GE(fences.size(), until);
    EXPECT_EQ(wait_all(fences, patience()), no_error);
    for (const fence_ref& f : fences) EXPECT_EQ(f->status(), -EOWNERDEAD);
    EXPECT_EQ(other.end(), -SIGKILL);
  }
}

TEST(channel_process, a_receiver_that_is_killed_stops_the_sender) {
  child_process other([](const test_pipe& pipe) {
    channel here = end_of(pipe);
    for (;;) UFENCE_CHILD_EXPECT(here.receive(patience()).has_value());
  });
  channel there = end_of(other.pipe());
  const new_fence made = make_fence();
  for (std::uint64_t tag = 0; tag < 10; ++tag) {
    EXPECT_EQ(there.send(fence_parcel(tag, made.fence), patience()), no_error);
  }
  other.kill();
  EXPECT_EQ(there.send(fence_parcel(10, made.fence), patience()), errno_code(EPIPE));
  EXPECT_EQ(there.receive(patience()).error(), errno_code(EPIPE));
  signaler(made.signal.share()).signal();
}
