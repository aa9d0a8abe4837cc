// Sync files between processes: passing them, ends of exporters at every step, fork().
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "ufence/container/array.h"
#include "ufence/container/chain.h"
#include "ufence/container/unwrap.h"
#include "ufence/fence/wait.h"
#include "ufence/sync/sw_sync.h"
#include "ufence/sync/testing/peer.h"

namespace ufence::testing {
namespace {

bool has_reactor() {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    if (name == "ufence-reactor") return true;
  }
  return false;
}

// --- The fence of another process ---

TEST(imported_fence, is_signaled_by_its_exporter) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  ASSERT_TRUE(file);
  const fence_ref f = sync_file_get_fence(file.get()).value();
  EXPECT_EQ(f->driver_name(), "far");
  EXPECT_EQ(f->timeline_name(), "away");
  EXPECT_EQ(f->seqno(), 1U);
  EXPECT_EQ(f->status(), 0);
  EXPECT_EQ(f->wait(no_wait), errno_code(ETIME));
  EXPECT_EQ(events_of(file.get()), 0);
  scripted_callback noted;
  EXPECT_EQ(f->add_callback(noted), no_error);
  tell(exporter.line(), 's');
  EXPECT_EQ(f->wait_settled(patience()), no_error);
  EXPECT_EQ(f->status(), 1);
  EXPECT_EQ(noted.runs(), 1);
  EXPECT_EQ(events_of(file.get()), POLLIN);
}

TEST(imported_fence, has_its_exporters_error) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  const fence_ref f = sync_file_get_fence(file.get()).value();
  tell(exporter.line(), 'e');
  EXPECT_EQ(f->wait(patience()), no_error);
  EXPECT_EQ(f->status(), -EIO);
}

TEST(imported_fence, is_the_same_one_for_each_duplicate_while_it_is_pending) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  const unique_fd duplicate(::dup(file.get()));
  const fence_ref f = sync_file_get_fence(file.get()).value();
  EXPECT_EQ(sync_file_get_fence(duplicate.get()).value(), f);
  EXPECT_EQ(sync_file_get_fence(file.get()).value(), f);
}

TEST(imported_fence, needs_no_descriptor_of_its_user) {
  peer exporter(export_one);
  unique_fd file = hear(exporter.line()).fd;
  const fence_ref f = sync_file_get_fence(file.get()).value();
  file.reset();
  tell(exporter.line(), 's');
  EXPECT_EQ(f->wait(patience()), no_error);
  EXPECT_EQ(f->status(), 1);
}

TEST(imported_fence, of_what_is_signaled_is_born_signaled) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  tell(exporter.line(), 'e');
  ASSERT_EQ(hear(exporter.line()).what, 'd');
  EXPECT_EQ(sync_file_get_fence(file.get()).value()->status(), -EIO);
}

TEST(imported_fence, can_be_used_wherever_a_fence_can) {
  peer one(export_one);
  peer two(export_one);
  const unique_fd first = hear(one.line()).fd;
  const unique_fd second = hear(two.line()).fd;
  const fence_ref a = sync_file_get_fence(first.get()).value();
  const fence_ref b = sync_file_get_fence(second.get()).value();
  EXPECT_NE(a->context(), b->context());
  const fence_ref array = fence_array::create(std::array{a, b}).value();
  const fence_ref chain = fence_chain::create(a, b, 2).value();
  const unique_fd both = sync_file_merge(first.get(), second.get()).value();
  EXPECT_EQ(info_of(both.get()).leaves.size(), 2U);
  tell(two.line(), 's');
  EXPECT_EQ(wait_any(std::array{a, b}, patience()).value(), 1U);
  EXPECT_EQ(chain->wait(no_wait), errno_code(ETIME));
  EXPECT_EQ(array->wait(no_wait), errno_code(ETIME));
  tell(one.line(), 'e');
  EXPECT_EQ(wait_all(std::array{array, chain}, patience()), no_error);
  EXPECT_EQ(array->status(), -EIO);
  EXPECT_TRUE(becomes_readable(both.get()));
  EXPECT_EQ(info_of(both.get()).count(-EIO), 1);
}

TEST(imported_fence, keeps_the_name_and_the_numbers_of_its_exporter) {
  std::uint64_t context = 0;
  int pipe_ends[2];
  ASSERT_EQ(::pipe2(pipe_ends, O_CLOEXEC), 0);
  const unique_fd from(pipe_ends[0]);
  const unique_fd to(pipe_ends[1]);
  peer exporter([&](int line) {
    timeline_issuer timeline = make_timeline(
        {.driver_name = "a-driver-with-a-name", .timeline_name = "a-timeline-with-one"});
    fence_ref f;
    for (int i = 0; i < 123; ++i) f = timeline.emit().value();
    const std::uint64_t own = f->context();
    static_cast<void>(::write(to.get(), &own, sizeof own));
    tell(line, 'f', sync_file_create(f).value().get());
    hear(line);
    timeline.signal_up_to(123);
    hear(line);
    return 0;
  });
  const unique_fd file = hear(exporter.line()).fd;
  ASSERT_EQ(::read(from.get(), &context, sizeof context), static_cast<ssize_t>(sizeof context));
  const fence_ref f = sync_file_get_fence(file.get()).value();
  EXPECT_NE(f->context(), context);
  const std::string name = info_of(file.get()).name;
  EXPECT_EQ(name.size(), 31U);
  EXPECT_TRUE(name.starts_with("a-driver-with-a-name-a-")) << name;
  EXPECT_TRUE(name.ends_with(std::to_string(context) + "-123")) << name;
  const unique_fd passed_on = sync_file_create(f).value();
  EXPECT_TRUE(
      std::string(info_of(passed_on.get()).name).ends_with(std::to_string(context) + "-123"));
  for (const bool is_signaled : {false, true}) {
    if (is_signaled) {
      tell(exporter.line(), 's');
      EXPECT_EQ(f->wait(patience()), no_error);
    }
    const result<imported_from> source = sync_file_source(*f);
    ASSERT_TRUE(source);
    EXPECT_EQ(source->exporter, exporter.pid());
    EXPECT_EQ(source->context, context);
    EXPECT_EQ(source->seqno, 123U);
  }
  EXPECT_EQ(sync_file_source(*fence::stub()).error(), errno_code(ENODATA));
}

TEST(imported_fence, of_one_timeline_of_one_exporter_has_one_context) {
  peer exporter([](int line) {
    timeline_issuer timeline = make_timeline();
    for (int i = 0; i < 3; ++i) {
      tell(line, 'f', sync_file_create(timeline.emit().value()).value().get());
    }
    hear(line);
    timeline.signal_up_to(3);
    hear(line);
    return 0;
  });
  std::vector<unique_fd> files;
  for (int i = 0; i < 3; ++i) files.push_back(hear(exporter.line()).fd);
  const unique_fd some = sync_file_merge(files[0].get(), files[2].get()).value();
  const unique_fd all = sync_file_merge(some.get(), files[1].get()).value();
  EXPECT_EQ(info_of(all.get()).leaves.size(), 1U);  // the latest alone
  EXPECT_EQ(sync_file_get_fence(all.get()).value()->seqno(), 3U);
  tell(exporter.line(), 's');
  EXPECT_TRUE(becomes_readable(all.get()));
}

TEST(imported_fence, regress_of_an_issuer_that_completes_in_any_order_has_a_context_of_its_own) {
  peer exporter([](int line) {
    timeline_issuer timeline = make_timeline({.driver_name = "any order"});
    new_fence first = timeline.create_unordered().value();
    new_fence second = timeline.create_unordered().value();
    tell(line, 'f', sync_file_create(first.fence).value().get());
    tell(line, 'f', sync_file_create(second.fence).value().get());
    hear(line);
    second.signal.signal();
    tell(line, 'd');
    hear(line);
    first.signal.signal(-EIO);
    hear(line);
    return 0;
  });
  const unique_fd first = hear(exporter.line()).fd;
  const unique_fd second = hear(exporter.line()).fd;
  const unique_fd both = sync_file_merge(first.get(), second.get()).value();
  EXPECT_EQ(info_of(both.get()).leaves.size(), 2U);
  tell(exporter.line(), 's');
  ASSERT_EQ(hear(exporter.line()).what, 'd');
  EXPECT_EQ(sync_file_get_fence(second.get()).value()->wait(patience()), no_error);
  EXPECT_EQ(events_of(both.get()), 0);
  EXPECT_EQ(sync_file_get_fence(both.get()).value()->wait(no_wait), errno_code(ETIME));
  tell(exporter.line(), 's');
  EXPECT_TRUE(becomes_readable(both.get()));
  EXPECT_EQ(sync_file_get_fence(both.get()).value()->status(), -EIO);
}

TEST(imported_fence, regress_is_signaled_in_its_turn_if_its_issuer_signals_it_alone) {
  peer exporter([](int line) {
    timeline_issuer timeline = make_timeline();
    const fence_ref first = timeline.emit().value();
    const fence_ref second = timeline.emit().value();
    tell(line, 'f', sync_file_create(first).value().get());
    tell(line, 'f', sync_file_create(second).value().get());
    hear(line);
    UFENCE_CHILD_EXPECT(timeline.signal(*second, -EIO));
    tell(line, 'd');
    hear(line);
    timeline.signal_up_to(1);
    hear(line);
    timeline.signal_up_to(2);
    return 0;
  });
  unique_fd first = hear(exporter.line()).fd;
  const unique_fd second = hear(exporter.line()).fd;
  const unique_fd both = sync_file_merge(first.get(), second.get()).value();
  EXPECT_EQ(info_of(both.get()).leaves.size(), 1U);
  first.reset();
  tell(exporter.line(), 's');
  ASSERT_EQ(hear(exporter.line()).what, 'd');
  EXPECT_FALSE(sync_file_get_fence(both.get()).value()->poll());
  EXPECT_EQ(events_of(both.get()), 0);
  tell(exporter.line(), 's');
  EXPECT_TRUE(becomes_readable(both.get()));
  EXPECT_EQ(sync_file_get_fence(both.get()).value()->status(), -EIO);
}

TEST(imported_fence, regress_that_was_signaled_alone_before_another_came_stands_for_nothing) {
  peer exporter([](int line) {
    timeline_issuer timeline = make_timeline();
    const fence_ref first = timeline.emit().value();
    const fence_ref second = timeline.emit().value();
    tell(line, 'f', sync_file_create(second).value().get());
    hear(line);
    UFENCE_CHILD_EXPECT(timeline.signal(*second));
    tell(line, 'f', sync_file_create(first).value().get());
    hear(line);
    timeline.signal_up_to(2);
    return 0;
  });
  const unique_fd second = hear(exporter.line()).fd;
  // It is not waited for, so nobody here learns of its end.
  const fence_ref later = sync_file_get_fence(second.get()).value();
  tell(exporter.line(), 's');
  const unique_fd first = hear(exporter.line()).fd;
  const fence_ref earlier = sync_file_get_fence(first.get()).value();
  const fence_ref merged = merge(std::array{later, earlier}).value();
  EXPECT_FALSE(merged->poll());
  EXPECT_EQ(merged, earlier);
  tell(exporter.line(), 's');
  EXPECT_EQ(merged->wait(patience()), no_error);
}

TEST(imported_fence, dropped_while_pending_lets_the_exporters_go) {
  peer exporter([](int line) {
    scripted_backend data;
    new_fence f = make_fence(&data);
    unique_fd file = sync_file_create(f.fence).value();
    // Before anybody else has it: the reactor may end as soon as the others have closed it.
    UFENCE_CHILD_EXPECT(eventually(has_reactor));
    tell(line, 'f', file.get());
    file.reset();
    if (hear(line).what != 'c') return __LINE__;
    // All holders are gone: the reactor ends with the last thing that it watched.
    const bool ended = eventually([] { return !has_reactor(); });
    f.signal.signal();
    return ended ? 0 : __LINE__;
  });
  unique_fd file = hear(exporter.line()).fd;
  fence_ref f = sync_file_get_fence(file.get()).value();
  f->enable_signaling();
  f.reset();
  file.reset();
  tell(exporter.line(), 'c');
  EXPECT_EQ(exporter.join(), 0);
}

// --- Info and deadlines across processes ---

TEST(sync_file_of_another_process, tells_everything_while_it_is_pending) {
  peer exporter([](int line) {
    timeline_issuer a = make_timeline({.driver_name = "alpha", .timeline_name = "ring a"});
    timeline_issuer b = make_timeline({.driver_name = "beta", .timeline_name = "ring b"});
    const fence_ref first = a.emit().value();
    const fence_ref second = b.emit().value();
    const fence_ref both = merge(std::array{first, second}).value();
    tell(line, 'f', sync_file_create(both, "both").value().get());
    hear(line);
    b.signal(*second, -EIO);
    tell(line, 'd');
    hear(line);
    a.signal_up_to(1);
    b.signal_up_to(1);
    return 0;  // and the process is gone
  });
  const unique_fd file = hear(exporter.line()).fd;
  file_info told = info_of(file.get());
  EXPECT_EQ(told.name, "both");
  EXPECT_EQ(told.status, 0);
  ASSERT_EQ(told.leaves.size(), 2U);
  EXPECT_EQ(told.leaves[0].driver, "alpha");
  EXPECT_EQ(told.leaves[1].timeline, "ring b");
  EXPECT_EQ(told.leaves[1].status, 0);
  const std::int64_t before = now_ns();
  tell(exporter.line(), 'b');
  ASSERT_EQ(hear(exporter.line()).what, 'd');
  told = info_of(file.get());
  ASSERT_EQ(told.leaves.size(), 2U);
  EXPECT_EQ(told.leaves[0].status, 0);
  EXPECT_EQ(told.leaves[1].status, -EIO);
  EXPECT_GE(told.leaves[1].timestamp_ns, static_cast<std::uint64_t>(before));
  EXPECT_EQ(events_of(file.get()), 0);
  tell(exporter.line(), 'a');
  EXPECT_EQ(exporter.join(), 0);
  EXPECT_TRUE(becomes_readable(file.get()));
  told = info_of(file.get());
  EXPECT_EQ(told.name, "both");
  ASSERT_EQ(told.leaves.size(), 2U);
  EXPECT_EQ(told.status, -EIO);
  EXPECT_EQ(told.leaves[0].status, 1);
  EXPECT_LE(told.leaves[0].timestamp_ns, static_cast<std::uint64_t>(now_ns()));
}

TEST(sync_file_of_another_process, with_4096_leaves_is_told_whole_after_its_exporters_death) {
  peer exporter([](int line) {
    std::vector<new_fence> fences;
    std::vector<fence_ref> children;
    for (int i = 0; i < 4096; ++i) {
      fences.push_back(make_fence());
      children.push_back(fences.back().fence);
    }
    const fence_ref all = fence_array::create(children).value();
    tell(line, 'f', sync_file_create(all).value().get());
    hear(line);
    for (new_fence& f : fences) f.signal.signal();
    return 0;
  });
  const unique_fd file = hear(exporter.line()).fd;
  EXPECT_EQ(info_of(file.get()).leaves.size(), 4096U);
  tell(exporter.line(), 's');
  EXPECT_EQ(exporter.join(), 0);
  EXPECT_EQ(info_of(file.get()).leaves.size(), 4096U);
  EXPECT_EQ(info_of(file.get()).count(1), 4096);
}

TEST(sync_file_of_another_process, passes_a_deadline_to_its_exporter) {
  peer exporter([](int line) {
    sw_sync timeline = sw_sync::create("far").value();
    const fence_ref f = timeline.create_fence(1).value();
    tell(line, 'f', sync_file_create(f).value().get());
    hear(line);
    const bool came = eventually([&] {
      const result<std::int64_t> deadline = sw_sync_deadline(f);
      return deadline && *deadline == 4711;
    });
    return came ? 0 : __LINE__;
  });
  const unique_fd file = hear(exporter.line()).fd;
  EXPECT_EQ(sync_file_set_deadline(file.get(), INT64_C(4711)), no_error);
  tell(exporter.line(), 'd');
  EXPECT_EQ(exporter.join(), 0);
}

TEST(sync_file_of_another_process, that_does_not_answer_is_told_from_the_descriptor) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  ASSERT_EQ(::kill(exporter.pid(), SIGSTOP), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(exporter.pid(), &status, WUNTRACED), exporter.pid());
  const file_info told = info_of(file.get());
  EXPECT_EQ(told.status, 0);
  ASSERT_EQ(told.leaves.size(), 1U);
  EXPECT_EQ(told.leaves[0].driver, "far");
  EXPECT_EQ(told.leaves[0].timeline, "away");
  ASSERT_EQ(::kill(exporter.pid(), SIGCONT), 0);
}

// --- Ends of exporters ---

TEST(dead_exporter, ends_what_it_did_not_signal) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  const fence_ref f = sync_file_get_fence(file.get()).value();
  exporter.kill();
  EXPECT_EQ(f->wait(patience()), no_error);
  EXPECT_EQ(f->status(), -EOWNERDEAD);
  EXPECT_TRUE(becomes_readable(file.get()));
  const file_info told = info_of(file.get());
  EXPECT_EQ(told.status, -EOWNERDEAD);
  ASSERT_EQ(told.leaves.size(), 1U);
  EXPECT_EQ(told.leaves[0].driver, "far");
  EXPECT_EQ(told.leaves[0].timeline, "away");
  EXPECT_EQ(told.leaves[0].status, -EOWNERDEAD);
  EXPECT_EQ(sync_file_get_fence(file.get()).value()->status(), -EOWNERDEAD);
}

TEST(dead_exporter, leaves_what_it_signaled) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  tell(exporter.line(), 'e');
  ASSERT_EQ(hear(exporter.line()).what, 'd');
  exporter.kill();
  EXPECT_EQ(status_of(file.get()), -EIO);
  EXPECT_EQ(sync_file_get_fence(file.get()).value()->status(), -EIO);
  EXPECT_EQ(info_of(file.get()).name, "from afar");
}

TEST(dead_exporter, with_something_unread_is_still_seen_to_be_dead) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  const fence_ref f = sync_file_get_fence(file.get()).value();
  ASSERT_EQ(::send(file.get(), "junk", 4, MSG_NOSIGNAL), 4);  // the exporter never reads it
  exporter.kill();
  EXPECT_EQ(f->wait(patience()), no_error);
  EXPECT_EQ(f->status(), -EOWNERDEAD);
  EXPECT_EQ(status_of(file.get()), -EOWNERDEAD);
}

TEST(dead_exporter, may_be_a_process_that_runs_another_program_now) {
  peer exporter([](int line) {
    const new_fence f = make_fence();
    tell(line, 'f', sync_file_create(f.fence).value().get());
    hear(line);
    ::execl("/bin/sleep", "sleep", "60", nullptr);
    return __LINE__;
  });
  const unique_fd file = hear(exporter.line()).fd;
  const fence_ref f = sync_file_get_fence(file.get()).value();
  EXPECT_EQ(f->status(), 0);
  tell(exporter.line(), 'x');
  EXPECT_EQ(f->wait(patience()), no_error);
  EXPECT_EQ(f->status(), -EOWNERDEAD);
  EXPECT_EQ(::kill(exporter.pid(), 0), 0);  // it lives on
}

// Kills exporters at random moments of making, passing and signaling: what arrived ends with one of
// the results that are possible, and nobody hangs.
TEST(dead_exporter, at_any_moment_leaves_nobody_waiting) {
  constexpr int rounds = 60;
  int done = 0;
  int dead = 0;
  for (int round = 0; round < rounds; ++round) {
    peer exporter([](int line) {
      for (;;) {
        new_fence f = make_fence();
        const result<unique_fd> file = sync_file_create(f.fence);
        if (!file) return 0;
        tell(line, 'f', file->get());
        f.signal.signal(-EPIPE);
      }
    });
    std::vector<unique_fd> files;
    const auto take_files = [&](std::size_t until) {
      while (files.size() < until) {
        std::byte byte{};
        result<message> got = receive_message(exporter.line(), {&byte, 1}, false, 1);
        if (got && got->size == 1) {
          files.push_back(std::move(got->fds[0]));
        } else if (!got && got.error() == errno_code(EAGAIN)) {
          if (!becomes_readable(exporter.line())) return;
        } else {
          return;
        }
      }
    };
    take_files(static_cast<std::size_t>(round) % 8 + 1);
    ::kill(exporter.pid(), SIGKILL);
    take_files(64);
    for (const unique_fd& file : files) {
      if (!file) continue;
      const fence_ref f = sync_file_get_fence(file.get()).value();
      ASSERT_EQ(f->wait(patience()), no_error);
      ASSERT_TRUE(f->status() == -EPIPE || f->status() == -EOWNERDEAD) << f->status();
      ASSERT_EQ(status_of(file.get()), f->status());
      ++(f->status() == -EPIPE ? done : dead);
    }
  }
  EXPECT_GT(done, 0);
  RecordProperty("ended by the exporter", done);
  RecordProperty("ended by its death", dead);
}

// --- fork() and exec ---

TEST(fork_of_an_exporter, does_not_hide_its_death) {
  int pids[2];
  ASSERT_EQ(::pipe2(pids, O_CLOEXEC), 0);
  const unique_fd from(pids[0]);
  unique_fd to(pids[1]);
  peer exporter([&](int line) {
    new_fence f = make_fence();
    const unique_fd file = sync_file_create(f.fence).value();
    const pid_t child = ::fork();
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, 0);
      for (;;) ::pause();
    }
    static_cast<void>(::write(to.get(), &child, sizeof child));
    tell(line, 'f', file.get());
    hear(line);
    return 0;
  });
  const unique_fd file = hear(exporter.line()).fd;
  pid_t child = 0;
  ASSERT_EQ(::read(from.get(), &child, sizeof child), static_cast<ssize_t>(sizeof child));
  const fence_ref f = sync_file_get_fence(file.get()).value();
  exporter.kill();
  EXPECT_EQ(f->wait(patience()), no_error);
  EXPECT_EQ(f->status(), -EOWNERDEAD);
  EXPECT_EQ(::kill(child, SIGKILL), 0);  // it lived until here
}

// The child has copies of the exporting ends, which no handler of fork() has closed.
TEST(fork_of_an_exporter, regress_without_handlers_does_not_hide_its_death) {
  for (const bool is_waited_for : {true, false}) {
    int pids[2];
    ASSERT_EQ(::pipe2(pids, O_CLOEXEC), 0);
    const unique_fd from(pids[0]);
    unique_fd to(pids[1]);
    peer exporter([&](int line) {
      new_fence f = make_fence();
      new_fence signaled = make_fence();
      const unique_fd file = sync_file_create(f.fence).value();
      const unique_fd other = sync_file_create(signaled.fence).value();
      const pid_t child = ::_Fork();
      if (child == 0) {
        ::syscall(SYS_prctl, PR_SET_PDEATHSIG, 0);
        for (;;) ::syscall(SYS_ppoll, nullptr, 0, nullptr, nullptr, 0);
      }
      static_cast<void>(::write(to.get(), &child, sizeof child));
      tell(line, 'f', file.get());
      tell(line, 'f', other.get());
      hear(line);
      signaled.signal.signal(-EIO);
      tell(line, 's');
      hear(line);
      return 0;
    });
    const unique_fd file = hear(exporter.line()).fd;
    const unique_fd other = hear(exporter.line()).fd;
    pid_t child = 0;
    ASSERT_EQ(::read(from.get(), &child, sizeof child), static_cast<ssize_t>(sizeof child));
    fence_ref f;
    fence_ref signaled;
    const auto import = [&] {
      f = sync_file_get_fence(file.get()).value();
      signaled = sync_file_get_fence(other.get()).value();
    };
    if (is_waited_for) import();
    tell(exporter.line(), 's');
    ASSERT_EQ(hear(exporter.line()).what, 's');
    exporter.kill();
    if (!is_waited_for) import();
    EXPECT_EQ(f->wait(patience()), no_error);
    EXPECT_EQ(f->status(), -EOWNERDEAD);
    EXPECT_EQ(signaled->wait(patience()), no_error);
    EXPECT_EQ(signaled->status(), -EIO);
    EXPECT_EQ(::kill(child, SIGKILL), 0);  // it lived until here
  }
}

// It has the library's ends too, which fork() takes from a child: closing them here ends nothing
// there.
TEST(fork_of_an_exporter, without_handlers_does_not_keep_the_reactor_busy) {
  int pipe_ends[2];
  ASSERT_EQ(::pipe2(pipe_ends, O_CLOEXEC), 0);
  const unique_fd from(pipe_ends[0]);
  const unique_fd to(pipe_ends[1]);
  new_fence f = make_fence();
  std::vector<unique_fd> files(200);
  for (unique_fd& file : files) file = sync_file_create(f.fence).value();
  const pid_t child = ::_Fork();
  if (child == 0) {
    for (const unique_fd& file : files) ::syscall(SYS_close, file.get());
    ::syscall(SYS_write, to.get(), "x", 1);
    for (;;) ::syscall(SYS_ppoll, nullptr, 0, nullptr, nullptr, 0);
  }
  char said = 0;
  EXPECT_EQ(::read(from.get(), &said, 1), 1);
  files.clear();
  EXPECT_TRUE(eventually([] { return !has_reactor(); }));
  EXPECT_EQ(::kill(child, SIGKILL), 0);
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
  f.signal.signal();
}

TEST(fork_of_an_exporter, gives_the_child_what_any_other_process_gets) {
  sw_sync timeline = sw_sync::create("parents").value();
  const fence_ref f = timeline.create_fence(1).value();
  const unique_fd file = sync_file_create(f, "inherited").value();
  peer child([&](int line) {
    UFENCE_CHILD_EXPECT(sync_file_create(f).error() == errno_code(EOWNERDEAD));
    const result<fence_ref> mine = sync_file_get_fence(file.get());
    UFENCE_CHILD_EXPECT(mine.has_value() && *mine != f);
    UFENCE_CHILD_EXPECT((*mine)->timeline_name() == "parents");
    UFENCE_CHILD_EXPECT(info_of(file.get()).name == "inherited");
    UFENCE_CHILD_EXPECT((*mine)->status() == 0);
    tell(line, 'r');
    UFENCE_CHILD_EXPECT(!(*mine)->wait(patience()));
    UFENCE_CHILD_EXPECT((*mine)->status() == 1);
    return 0;
  });
  ASSERT_EQ(hear(child.line()).what, 'r');
  timeline.increment(1);
  EXPECT_EQ(child.join(), 0);
}

TEST(fork_of_an_importer, leaves_its_fences_to_the_parent) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  fence_ref f = sync_file_get_fence(file.get()).value();
  EXPECT_EQ(in_child([&] {
              UFENCE_CHILD_EXPECT(f->wait(patience()) == errno_code(EOWNERDEAD));
              f.reset();
              const fence_ref again = sync_file_get_fence(file.get()).value();
              UFENCE_CHILD_EXPECT(again->wait(no_wait) == errno_code(ETIME));
              return 0;
            }),
            0);
  tell(exporter.line(), 's');
  EXPECT_EQ(f->wait(patience()), no_error);
  EXPECT_EQ(f->status(), 1);
}

TEST(fork_of_an_exporter, while_another_thread_exports_hides_no_death) {
  constexpr int children = 30;
  peer exporter([](int line) {
    ::setpgid(0, 0);
    std::atomic<bool> is_done = false;
    std::thread forker([&] {
      for (int i = 0; i < children; ++i) {
        if (::fork() == 0) {
          for (;;) ::pause();
        }
      }
      is_done = true;
    });
    std::vector<new_fence> fences;
    while (!is_done || fences.size() < 10) {
      fences.push_back(make_fence());
      const result<unique_fd> file = sync_file_create(fences.back().fence);
      UFENCE_CHILD_EXPECT(file.has_value());
      tell(line, 'f', file->get());
      if (hear(line).what != 'n') break;
    }
    tell(line, 'd');
    for (;;) ::pause();
    return 0;
  });
  std::vector<unique_fd> files;
  for (;;) {
    heard one = hear(exporter.line());
    if (one.what != 'f') break;
    files.push_back(std::move(one.fd));
    tell(exporter.line(), 'n');
  }
  ASSERT_GE(files.size(), 10U);
  const pid_t group = exporter.pid();
  exporter.kill();
  for (const unique_fd& file : files) {
    const fence_ref f = sync_file_get_fence(file.get()).value();
    EXPECT_EQ(f->wait(patience()), no_error);
    EXPECT_EQ(f->status(), -EOWNERDEAD);
  }
  EXPECT_EQ(::kill(-group, SIGKILL), 0);  // its children lived until here
}

// --- Without descriptors ---

// Uses all descriptors up, for its lifetime.
class no_descriptors {
 public:
  no_descriptors() {
    let_sanitizers_see_error_codes();
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit few{.rlim_cur = 64, .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &few);
    for (;;) {
      unique_fd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      if (!fd) break;
      used_.push_back(std::move(fd));
    }
  }
  ~no_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  no_descriptors(const no_descriptors&) = delete;
  no_descriptors& operator=(const no_descriptors&) = delete;
  void free_one() { used_.pop_back(); }

 private:
  rlimit before_{};
  std::vector<unique_fd> used_;
};

TEST(without_descriptors, nothing_is_changed_and_everything_works_later) {
  peer exporter(export_one);
  const unique_fd far = hear(exporter.line()).fd;
  new_fence f = make_fence();
  unique_fd file = sync_file_create(f.fence).value();
  {
    no_descriptors none;
    EXPECT_EQ(sync_file_create(f.fence).error(), errno_code(EMFILE));
    EXPECT_EQ(sync_file_merge(file.get(), file.get()).error(), errno_code(EMFILE));
    EXPECT_EQ(sync_file_get_fence(far.get()).error(), errno_code(EMFILE));
    EXPECT_EQ(sync_file_get_fence(file.get()).value(), f.fence);
    // What is closed is found at once: two descriptors for the next one.
    file.reset();
    none.free_one();
    const result<unique_fd> again = sync_file_create(f.fence);
    EXPECT_TRUE(again.has_value()) << again.error().message();
  }
  const fence_ref g = sync_file_get_fence(far.get()).value();
  const unique_fd again = sync_file_create(f.fence).value();
  f.signal.signal();
  EXPECT_EQ(events_of(again.get()), POLLIN);
  tell(exporter.line(), 's');
  EXPECT_EQ(g->wait(patience()), no_error);
}

TEST(without_descriptors, a_process_that_never_had_a_sync_file_gets_none) {
  EXPECT_EQ(in_child([] {
              new_fence f = make_fence();
              {
                no_descriptors none;
                for (int free = 0; free < 5; ++free) {
                  UFENCE_CHILD_EXPECT(sync_file_create(f.fence).error() == errno_code(EMFILE));
                  none.free_one();
                }
                none.free_one();
                UFENCE_CHILD_EXPECT(sync_file_create(f.fence).has_value());
              }
              f.signal.signal();
              return 0;
            }),
            0);
}

}  // namespace
}  // namespace ufence::testing
