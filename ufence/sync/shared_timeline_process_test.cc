// Shared timelines between processes, any of which may be killed at any moment.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <array>
#include <random>
#include <string>
#include <vector>

#include "ufence/fence/wait.h"
#include "ufence/sync/shared_timeline.h"
#include "ufence/sync/testing/processes.h"
#include "ufence/sync/testing/strangers.h"
#include "ufence/syncobj/testing/syncobj_support.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

const std::error_code owner_dead = errno_code(EOWNERDEAD);

void die() { ::kill(::getpid(), SIGKILL); }

/// An owner that obeys: 0 export for waiting, 1 export for signaling, 2 end; n: signal n - 2.
int own(const test_pipe& pipe, bool peers_may_signal = false) {
  result<shared_timeline_ref> line =
      shared_timeline::create({.name = "owner", .peers_may_signal = peers_may_signal});
  UFENCE_CHILD_EXPECT(line.has_value());
  for (;;) {
    const test_pipe::letter l = pipe.receive();
    if (!l.is_there) return 0;
    if (l.word < 2) {
      const result<unique_fd> fd =
          (*line)->export_fd(l.word == 0 ? shared_access::wait : shared_access::signal);
      UFENCE_CHILD_EXPECT(fd.has_value());
      UFENCE_CHILD_EXPECT(pipe.send(0, fd->get()));
    } else if (l.word == 2) {
      line = nullptr;
      UFENCE_CHILD_EXPECT(pipe.send(0));
    } else {
      UFENCE_CHILD_EXPECT((*line)->signal(l.word - 2) == no_error);
      UFENCE_CHILD_EXPECT(pipe.send(0));
    }
  }
}

unique_fd ask_for_export(const child_process& owner, bool for_signaling = false) {
  EXPECT_TRUE(owner.pipe().send(for_signaling ? 1 : 0));
  return owner.pipe().receive().fd;
}
void ask_to_signal(const child_process& owner, std::uint64_t point) {
  EXPECT_TRUE(owner.pipe().send(point + 2));
  EXPECT_TRUE(owner.pipe().receive().is_there);
}

/// Says that it waits for the point, then waits; returns whether the result was the expected one.
int wait_for(const test_pipe& pipe, int fd, std::uint64_t point, const std::error_code& expected) {
  const result<shared_timeline_ref> line = shared_timeline::import(fd);
  UFENCE_CHILD_EXPECT(line.has_value());
  UFENCE_CHILD_EXPECT(pipe.send(static_cast<std::uint64_t>(::gettid())));
  UFENCE_CHILD_EXPECT((*line)->wait(point, patience()) == expected);
  return 0;
}

void until_asleep(const child_process& child) {
  EXPECT_TRUE(child.pipe().receive().is_there);
  int looks = 0;
  EXPECT_TRUE(eventually([&] {
    looks = is_asleep(child.pid()) ? looks + 1 : 0;
    return looks == 20;
  }));
}

using children = std::vector<std::unique_ptr<child_process>>;

children make_waiters(int n, int fd, std::uint64_t point, const std::error_code& expected) {
  children made;
  for (int i = 0; i < n; ++i) {
    made.push_back(std::make_unique<child_process>(
        [&](const test_pipe& pipe) { return wait_for(pipe, fd, point, expected); }));
  }
  for (const auto& child : made) until_asleep(*child);
  return made;
}

}  // namespace

TEST(shared_timeline_process, a_signal_wakes_waiters_in_other_processes) {
  child_process owner([](const test_pipe& pipe) { return own(pipe); });
  const unique_fd fd = ask_for_export(owner);
  const children waiters = make_waiters(4, fd.get(), 2, no_error);
  ask_to_signal(owner, 1);
  ask_to_signal(owner, 2);
  for (const auto& child : waiters) EXPECT_EQ(child->end(), 0);
  const shared_timeline_ref line = shared_timeline::import(fd.get()).value();
  EXPECT_EQ(line->value(), 2U);
  EXPECT_EQ(line->name(), "owner");
}

TEST(shared_timeline_process, the_death_of_the_owner_ends_all_waits) {
  child_process owner([](const test_pipe& pipe) { return own(pipe); });
  const unique_fd fd = ask_for_export(owner);
  ask_to_signal(owner, 1);
  const children waiters = make_waiters(8, fd.get(), 2, owner_dead);
  const shared_timeline_ref line = shared_timeline::import(fd.get()).value();
  EXPECT_EQ(line->error(), 0);
  const fence_ref reached = line->fence_at(1).value();
  const fence_ref not_reached = line->fence_at(2).value();
  owner.kill();
  for (const auto& child : waiters) EXPECT_EQ(child->end(), 0);
  EXPECT_EQ(not_reached->wait(patience()), no_error);
  EXPECT_EQ(not_reached->status(), -EOWNERDEAD);
  EXPECT_EQ(reached->status(), 1);
  EXPECT_EQ(line->error(), -EOWNERDEAD);
  EXPECT_EQ(line->wait(1), no_error) << "what was reached stays so";
  EXPECT_EQ(line->wait(2), owner_dead);
  EXPECT_EQ(line->fence_at(2).value()->status(), -EOWNERDEAD);
  EXPECT_EQ(shared_timeline::import(fd.get()).value()->wait(2), owner_dead) << "who comes later";
}

TEST(shared_timeline_process, killed_waiters_keep_no_other_one_waiting) {
  child_process owner([](const test_pipe& pipe) { return own(pipe); });
  const unique_fd fd = ask_for_export(owner);
  const children first = make_waiters(4, fd.get(), 1, owner_dead);
  const children second = make_waiters(4, fd.get(), 1, owner_dead);
  // The kernel wakes one for the owner's death: it may be one that is being killed.
  ::kill(owner.pid(), SIGKILL);
  for (const auto& child : first) ::kill(child->pid(), SIGKILL);
  for (const auto& child : second) EXPECT_EQ(child->end(), 0);
  EXPECT_EQ(owner.end(), -SIGKILL);
}

TEST(shared_timeline_process, an_orderly_end_is_told_from_a_death) {
  child_process owner([](const test_pipe& pipe) { return own(pipe); });
  const unique_fd fd = ask_for_export(owner);
  const children waiters = make_waiters(2, fd.get(), 1, errno_code(ECANCELED));
  EXPECT_TRUE(owner.pipe().send(2));
  EXPECT_TRUE(owner.pipe().receive().is_there);
  for (const auto& child : waiters) EXPECT_EQ(child->end(), 0);
  owner.kill();
  EXPECT_EQ(shared_timeline::import(fd.get()).value()->error(), -ECANCELED);
}

// The owner is killed by itself after each of its steps. Whatever it had done before counts.
TEST(shared_timeline_process, the_owner_dies_at_every_step) {
  for (int last = 0; last < 7; ++last) {
    until_alone();
    child_process owner([last](const test_pipe& pipe) {
      int step = 0;
      const auto done = [&] {
        if (step++ == last) die();
      };
      result<shared_timeline_ref> line = shared_timeline::create();
      UFENCE_CHILD_EXPECT(line.has_value());
      const unique_fd fd = (*line)->export_fd(shared_access::wait).value();
      UFENCE_CHILD_EXPECT(pipe.send(0, fd.get()));
      done();
      const fence_ref own_fence = (*line)->fence_at(5).value();
      done();
      UFENCE_CHILD_EXPECT((*line)->signal(1) == no_error);
      done();
      UFENCE_CHILD_EXPECT((*line)->signal(2) == no_error);
      done();
      UFENCE_CHILD_EXPECT(pipe.send(1));
      done();
      UFENCE_CHILD_EXPECT((*line)->fail(-EIO) == no_error);
      done();
      *line = nullptr;
      done();
      return __LINE__;
    });
    const unique_fd fd = owner.pipe().receive().fd;
    const shared_timeline_ref line = shared_timeline::import(fd.get()).value();
    std::vector<fence_ref> fences;
    for (std::uint64_t point = 1; point <= 3; ++point) {
      fences.push_back(line->fence_at(point).value());
    }
    EXPECT_EQ(owner.end(), -SIGKILL);
    const std::uint64_t reached = last < 2 ? 0 : last == 2 ? 1 : 2;
    const int error = last < 5 ? -EOWNERDEAD : -EIO;
    EXPECT_EQ(line->value(), reached) << last;
    EXPECT_EQ(line->error(), error) << last;
    for (const fence_ref& f : fences) {
      EXPECT_EQ(f->wait(patience()), no_error) << last;
      EXPECT_EQ(f->status(), f->seqno() <= reached ? 1 : error) << last;
    }
  }
}

TEST(shared_timeline_process, the_owner_is_killed_at_any_moment) {
  std::mt19937 random(14);
  for (int round = 0; round < 40; ++round) {
    until_alone();
    child_process owner([](const test_pipe& pipe) {
      const result<shared_timeline_ref> line = shared_timeline::create();
      UFENCE_CHILD_EXPECT(line.has_value());
      const unique_fd fd = (*line)->export_fd(shared_access::wait).value();
      UFENCE_CHILD_EXPECT(pipe.send(0, fd.get()));
      for (std::uint64_t point = 1;; ++point) {
        UFENCE_CHILD_EXPECT((*line)->signal(point) == no_error);
      }
    });
    const unique_fd fd = owner.pipe().receive().fd;
    const shared_timeline_ref line = shared_timeline::import(fd.get()).value();
    std::vector<fence_ref> fences;
    const std::uint64_t from = line->value();
    for (std::uint64_t i = 0; i < 200; ++i) {
      fences.push_back(line->fence_at(from + i * (1 + random() % 50)).value());
    }
    const std::uint64_t until = random() % 200;
    EXPECT_TRUE(eventually([&] { return line->value() >= until; }));
    owner.kill();
    const std::uint64_t last = line->value();
    EXPECT_EQ(line->wait(last), no_error);
    EXPECT_EQ(line->wait(last + 1), owner_dead);
    EXPECT_EQ(wait_all(fences, patience()), no_error);
    for (const fence_ref& f : fences) {
      EXPECT_EQ(f->status(), f->seqno() <= last ? 1 : -EOWNERDEAD);
    }
  }
}

TEST(shared_timeline_process, a_child_of_the_owner_does_not_hide_its_death) {
  child_process owner([](const test_pipe& pipe) {
    result<shared_timeline_ref> line = shared_timeline::create();
    UFENCE_CHILD_EXPECT(line.has_value());
    const unique_fd fd = (*line)->export_fd(shared_access::wait).value();
    const pid_t child = ::fork();
    if (child == 0) {
      // What is the parent's does not work here, and its drop does not end the timeline.
      const bool right = (*line)->signal(1) == owner_dead && (*line)->wait(1) == owner_dead &&
                         (*line)->fence_at(1).error() == owner_dead;
      line = nullptr;
      pipe.send(right ? 7 : 0);
      ::pause();
    }
    UFENCE_CHILD_EXPECT(pipe.send(static_cast<std::uint64_t>(child), fd.get()));
    ::pause();
    return __LINE__;
  });
  test_pipe::letter letters[2] = {owner.pipe().receive(), owner.pipe().receive()};
  const bool in_order = static_cast<bool>(letters[0].fd);
  const test_pipe::letter& of_owner = letters[in_order ? 0 : 1];
  EXPECT_EQ(letters[in_order ? 1 : 0].word, 7U);
  const shared_timeline_ref line = shared_timeline::import(of_owner.fd.get()).value();
  EXPECT_EQ(line->error(), 0);
  owner.kill();
  EXPECT_EQ(line->wait(1, patience()), owner_dead);
  ::kill(static_cast<pid_t>(of_owner.word), SIGKILL);
}

TEST(shared_timeline_process, an_owner_that_executes_another_program_is_gone) {
  child_process owner([](const test_pipe& pipe) {
    const result<shared_timeline_ref> line = shared_timeline::create();
    UFENCE_CHILD_EXPECT(line.has_value());
    UFENCE_CHILD_EXPECT(pipe.send(0, (*line)->export_fd(shared_access::wait)->get()));
    UFENCE_CHILD_EXPECT(pipe.receive().is_there);
    ::execl("/bin/sleep", "sleep", "60", nullptr);
    return __LINE__;
  });
  const unique_fd fd = owner.pipe().receive().fd;
  const shared_timeline_ref line = shared_timeline::import(fd.get()).value();
  EXPECT_EQ(line->wait(1, no_wait), timed_out);
  EXPECT_TRUE(owner.pipe().send(0));
  EXPECT_EQ(line->wait(1, patience()), owner_dead);
}

TEST(shared_timeline_process, peers_signal_and_die) {
  child_process owner([](const test_pipe& pipe) { return own(pipe, true); });
  const unique_fd fd = ask_for_export(owner, true);
  const children waiters = make_waiters(2, fd.get(), 2, no_error);
  child_process peer([&](const test_pipe&) {
    const result<shared_timeline_ref> line = shared_timeline::import(fd.get());
    UFENCE_CHILD_EXPECT(line.has_value() && (*line)->may_signal());
    UFENCE_CHILD_EXPECT((*line)->signal(2) == no_error);
    die();
    return __LINE__;
  });
  for (const auto& child : waiters) EXPECT_EQ(child->end(), 0);
  EXPECT_EQ(peer.end(), -SIGKILL);
  const shared_timeline_ref line = shared_timeline::import(fd.get()).value();
  EXPECT_EQ(line->error(), 0) << "it was not the owner";
  ask_to_signal(owner, 3);
  EXPECT_EQ(line->signal(4), no_error);
  owner.kill();
  EXPECT_EQ(line->wait(5, patience()), owner_dead);
  EXPECT_EQ(line->signal(5), owner_dead);
  EXPECT_EQ(line->wait(4), no_error);
}

// A peer that may signal may write anything, also while others use the page.
TEST(shared_timeline_process, a_hostile_peer_stops_nobody_from_leaving) {
  child_process owner([](const test_pipe& pipe) { return own(pipe, true); });
  const unique_fd fd = ask_for_export(owner, true);
  child_process hostile([&](const test_pipe& pipe) {
    void* memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    UFENCE_CHILD_EXPECT(memory != MAP_FAILED);
    UFENCE_CHILD_EXPECT(pipe.send(0));
    auto* words = static_cast<volatile std::uint32_t*>(memory);
    std::mt19937 random(1);
    for (;;) words[2 + random() % 62] = static_cast<std::uint32_t>(random());
  });
  EXPECT_TRUE(hostile.pipe().receive().is_there);
  const shared_timeline_ref line = shared_timeline::import(fd.get()).value();
  const stress_clock clock(0.25);
  do {
    const std::error_code waited = line->wait(shared_timeline::point_max, deadline_after(100'000));
    EXPECT_LE(waited.value(), 4095);
    const int error = line->error();
    EXPECT_TRUE(error <= 0 && error >= -4095);
    static_cast<void>(line->fence_at(line->value() + 1).value());
    static_cast<void>(line->signal(1));
  } while (clock.runs());
  hostile.kill();
  // Whatever is there now: an end is an end.
  const std::error_code ended = line->fail(-EIO);
  EXPECT_TRUE(!ended || ended == errno_code(ECANCELED));
  EXPECT_NE(line->error(), 0);
  EXPECT_TRUE(owner.pipe().send(1));
  EXPECT_TRUE(owner.pipe().receive().is_there) << "the owner is well";
}

TEST(shared_timeline_process, regress_another_user_does_not_open_a_page_anew_to_write) {
  if (::geteuid() != 0) GTEST_SKIP() << "takes root";
  const shared_timeline_ref line = shared_timeline::create({.peers_may_signal = true}).value();
  const unique_fd reader = line->export_fd(shared_access::wait).value();
  const unique_fd writer = line->export_fd(shared_access::signal).value();
  child_process stranger([&](const test_pipe&) {
    UFENCE_CHILD_EXPECT(become_another_user());
    const std::string path = "/proc/self/fd/" + std::to_string(reader.get());
    for (const int mode : {O_RDWR, O_WRONLY, O_RDONLY}) {
      UFENCE_CHILD_EXPECT(!unique_fd(::open(path.c_str(), mode | O_CLOEXEC)));
    }
    // What it was given works: to wait, and to signal.
    const shared_timeline_ref waits = shared_timeline::import(reader.get()).value();
    UFENCE_CHILD_EXPECT(!waits->may_signal());
    UFENCE_CHILD_EXPECT(waits->signal(1) == errno_code(EPERM));
    const shared_timeline_ref signals = shared_timeline::import(writer.get()).value();
    UFENCE_CHILD_EXPECT(signals->signal(2) == no_error);
    UFENCE_CHILD_EXPECT(waits->wait(2, no_wait) == no_error);
    return 0;
  });
  EXPECT_EQ(stranger.end(), 0);
  EXPECT_EQ(line->value(), 2U);
}

TEST(shared_timeline_process, regress_a_limit_of_file_sizes_ends_no_process) {
  EXPECT_EQ(in_child([] {
              const rlimit none{.rlim_cur = 0, .rlim_max = RLIM_INFINITY};
              UFENCE_CHILD_EXPECT(::setrlimit(RLIMIT_FSIZE, &none) == 0);
              UFENCE_CHILD_EXPECT(shared_timeline::create().error() == errno_code(EFBIG));
              return 0;
            }),
            0);
}
