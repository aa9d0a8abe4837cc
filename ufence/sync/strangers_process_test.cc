// Sync files among strangers: other users, namespaces and limits, and what one holder does to the
// others.
#include <fcntl.h>
#include <linux/filter.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "ufence/container/unwrap.h"
#include "ufence/io/peer.h"
#include "ufence/io/reactor.h"
#include "ufence/sync/label.h"
#include "ufence/sync/syncobj_file.h"
#include "ufence/sync/testing/peer.h"
#include "ufence/sync/testing/strangers.h"

namespace ufence::testing {
namespace {

std::string all_sockets() {
  std::ifstream file("/proc/net/unix");
  return {std::istreambuf_iterator<char>(file), {}};
}
std::ptrdiff_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return std::distance(begin(all), end(all));
}
detail::socket_address label_address(int file) {
  detail::socket_address label;
  label.size = sizeof label.name;
  EXPECT_EQ(::getsockname(file, reinterpret_cast<sockaddr*>(&label.name), &label.size), 0);
  return label;
}

// --- Names ---

TEST(names_of_a_sync_file, regress_stand_in_no_list_that_other_users_read) {
  timeline_issuer timeline =
      make_timeline({.driver_name = "hush-driver", .timeline_name = "hush-timeline"});
  const fence_ref f = timeline.emit().value();
  const unique_fd file = sync_file_create(f, "hush-file").value();
  const unique_fd object = syncobj_export(syncobj::create().value()).value();
  for (const bool is_signaled : {false, true}) {
    if (is_signaled) timeline.signal_up_to(1);
    const std::string list = all_sockets();
    const std::string label(label_address(file.get()).name.sun_path + 1, 30);
    EXPECT_NE(list.find(label), list.npos) << "the list is the right one";
    EXPECT_EQ(list.find("hush"), list.npos);
  }
  EXPECT_EQ(in_child([&] {
              UFENCE_CHILD_EXPECT(info_of(file.get()).leaves[0].timeline == "hush-timeline");
              return 0;
            }),
            0)
      << "a holder reads them";
}

TEST(names_of_a_sync_file, are_read_by_another_user_who_was_given_it) {
  if (::geteuid() != 0) GTEST_SKIP() << "takes root";
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  ASSERT_EQ(::kill(exporter.pid(), SIGSTOP), 0);
  EXPECT_EQ(in_child([&] {
              UFENCE_CHILD_EXPECT(become_another_user());
              const fence_ref f = sync_file_get_fence(file.get()).value();
              UFENCE_CHILD_EXPECT(f->timeline_name() == "away");
              UFENCE_CHILD_EXPECT(info_of(file.get()).name == "from afar");
              // It can't take the key from the others.
              const timespec now{.tv_sec = 0, .tv_nsec = UTIME_NOW};
              const std::array<timespec, 2> times = {timespec{.tv_sec = 1, .tv_nsec = 0}, now};
              UFENCE_CHILD_EXPECT(::futimens(file.get(), times.data()) != 0);
              return 0;
            }),
            0);
  ASSERT_EQ(::kill(exporter.pid(), SIGCONT), 0);
}

TEST(names_of_a_sync_file, regress_that_strangers_take_again_leave_no_descriptor_behind) {
  new_fence f = make_fence();
  const syncobj_ref object = syncobj::create().value();
  const unique_fd keeps_the_reactor = sync_file_create(f.fence).value();
  const auto before = open_descriptors();
  // A stranger knows the labels while they are in use, and takes them once they are free. One that
  // the reactor was faster with is not to be had.
  std::size_t taken = 0;
  std::vector<unique_fd> strangers;
  for (int round = 0; round < 40; ++round) {
    unique_fd file =
        round % 2 == 0 ? sync_file_create(f.fence).value() : syncobj_export(object).value();
    const detail::socket_address label = label_address(file.get());
    unique_fd stranger(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    file.reset();
    if (bind_socket(stranger.get(), label)) continue;
    ++taken;
    strangers.push_back(std::move(stranger));
  }
  EXPECT_GT(taken, 0U);
  const auto with_strangers = before + static_cast<std::ptrdiff_t>(taken);
  if (detail::state_of_other_end(keeps_the_reactor.get()) == detail::peer_state::unknown) {
    f.signal.signal();
    GTEST_SKIP() << "the kernel does not list sockets here";
  }
  EXPECT_TRUE(eventually([&] { return open_descriptors() <= with_strangers; }))
      << open_descriptors() << " of " << with_strangers;
  f.signal.signal();
}

// --- What a holder can do to the others ---

// An exporter whose fence was signaled with -EIO, and that has ended.
struct ended_with_EIO {
  unique_fd file;
  std::uint64_t timestamp_ns = 0;

  template <class Before>
  explicit ended_with_EIO(Before before) {
    peer exporter(export_one);
    file = hear(exporter.line()).fd;
    before(file.get());
    tell(exporter.line(), 'e');
    EXPECT_EQ(hear(exporter.line()).what, 'd');
    exporter.kill();
  }
  void is_told() const {
    EXPECT_EQ(status_of(file.get()), -EIO);
    EXPECT_TRUE(becomes_readable(file.get()));
    const fence_ref f = sync_file_get_fence(file.get()).value();
    EXPECT_EQ(f->status(), -EIO);
    EXPECT_GT(f->timestamp_ns(), 0);
    const file_info told = info_of(file.get());
    EXPECT_EQ(told.name, "from afar");
    ASSERT_EQ(told.leaves.size(), 1U);
    EXPECT_EQ(told.leaves[0].status, -EIO);
    EXPECT_EQ(told.leaves[0].driver, "far");
    EXPECT_EQ(told.leaves[0].timestamp_ns, static_cast<std::uint64_t>(f->timestamp_ns()));
  }
};

TEST(hostile_holder, regress_that_took_the_record_of_a_dead_exporter_took_no_result) {
  std::array<char, 1024> taken{};
  {
    // One that label and verdict tell all of.
    const ended_with_EIO ended([](int) {});
    ended.is_told();
    EXPECT_EQ(::recv(ended.file.get(), taken.data(), taken.size(), 0), 0);
    ended.is_told();
    ASSERT_EQ(::shutdown(ended.file.get(), SHUT_RDWR), 0);
    ended.is_told();
  }
  peer exporter(export_two);
  const unique_fd file = hear(exporter.line()).fd;
  tell(exporter.line(), 'e');
  EXPECT_EQ(hear(exporter.line()).what, 'd');
  exporter.kill();
  EXPECT_EQ(info_of(file.get()).leaves.size(), 2U);
  ASSERT_GT(::recv(file.get(), taken.data(), taken.size(), 0), 0);
  for (const bool is_shut_down : {false, true}) {
    if (is_shut_down) {
      ASSERT_EQ(::shutdown(file.get(), SHUT_RDWR), 0);
    }
    EXPECT_EQ(status_of(file.get()), -EIO);
    EXPECT_TRUE(becomes_readable(file.get()));
    EXPECT_EQ(sync_file_get_fence(file.get()).value()->status(), -EIO);
  }
}

TEST(hostile_holder, regress_that_moves_what_others_peek_at_changes_no_result) {
  for (const int offset : {0, 1, 4, 24, 1000}) {
    SCOPED_TRACE(offset);
    const ended_with_EIO ended([offset](int file) {
      ASSERT_EQ(::setsockopt(file, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset), 0);
    });
    ended.is_told();
  }
}

TEST(hostile_holder, regress_that_moves_what_others_peek_at_keeps_no_reactor_busy) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  const fence_ref f = sync_file_get_fence(file.get()).value();
  const int offset = 100'000;
  ASSERT_EQ(::setsockopt(file.get(), SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset), 0);
  tell(exporter.line(), 'e');
  EXPECT_EQ(f->wait(patience()), no_error);
  EXPECT_EQ(f->status(), -EIO);
}

TEST(hostile_holder, puts_no_filter_on_what_the_others_get) {
  const ended_with_EIO ended([](int file) {
    sock_filter drop_all = BPF_STMT(BPF_RET | BPF_K, 0);
    const sock_fprog program{.len = 1, .filter = &drop_all};
    EXPECT_NE(::setsockopt(file, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), 0);
  });
  ended.is_told();
}

TEST(hostile_holder, regress_shuts_many_files_down_and_the_others_results_come) {
  // More than one look takes at a time, all in what is looked at from time to time.
  constexpr std::size_t count = 300;
  peer exporter([](int line) {
    std::vector<new_fence> fences;
    for (std::size_t i = 0; i < count; ++i) {
      fences.push_back(make_fence());
      tell(line, 'f', sync_file_create(fences.back().fence).value().get());
      UFENCE_CHILD_EXPECT(hear(line).what == 'n');
    }
    UFENCE_CHILD_EXPECT(hear(line).what == 's');
    for (new_fence& f : fences) f.signal.signal(-EIO);
    // What was shut down goes when it is signaled: the descriptors are all free again.
    UFENCE_CHILD_EXPECT(eventually([] { return open_descriptors() < 64; }));
    tell(line, 'd');
    hear(line);
    return 0;
  });
  std::vector<unique_fd> files;
  std::vector<fence_ref> fences;
  for (std::size_t i = 0; i < count; ++i) {
    files.push_back(hear(exporter.line()).fd);
    fences.push_back(sync_file_get_fence(files.back().get()).value());
    ASSERT_EQ(::shutdown(files.back().get(), SHUT_RDWR), 0);
    tell(exporter.line(), 'n');
  }
  EXPECT_EQ(fences.back()->wait(deadline_after(150 * millisecond_ns)), errno_code(ETIME));
  tell(exporter.line(), 's');
  for (const fence_ref& f : fences) {
    EXPECT_EQ(f->wait(patience()), no_error);
    EXPECT_EQ(f->status(), -EIO);
  }
  EXPECT_EQ(hear(exporter.line()).what, 'd');
  tell(exporter.line(), 'e');
  EXPECT_EQ(exporter.join(), 0);
}

TEST(hostile_holder, regress_that_keeps_signaled_files_takes_no_descriptors_of_their_maker) {
  constexpr int count = 600;
  peer exporter([](int line) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 128;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    for (int i = 0; i < count; ++i) {
      // Signaled before, or after it was exported; with an error, or without.
      new_fence f = make_fence();
      if (i % 2 == 0) f.signal.signal(i % 4 == 0 ? 0 : -EIO);
      const result<unique_fd> file = sync_file_create(f.fence, "kept");
      UFENCE_CHILD_EXPECT(file.has_value());
      tell(line, 'f', file->get());
      if (i % 2 != 0) f.signal.signal(-EPIPE);
      UFENCE_CHILD_EXPECT(hear(line).what == 'n');
      UFENCE_CHILD_EXPECT(status_of(file->get()) == f.fence->status());
      UFENCE_CHILD_EXPECT(info_of(file->get()).name == "kept");
      UFENCE_CHILD_EXPECT(sync_file_get_fence(file->get()).value()->status() == f.fence->status());
    }
    return 0;
  });
  std::vector<unique_fd> files;
  for (int i = 0; i < count; ++i) {
    files.push_back(hear(exporter.line()).fd);
    ASSERT_TRUE(files.back()) << i;
    tell(exporter.line(), 'n');
  }
  EXPECT_EQ(exporter.join(), 0);
  for (int i = 0; i < count; ++i) {
    const int expected = i % 2 != 0 ? -EPIPE : i % 4 == 0 ? 1 : -EIO;
    const int file = files[static_cast<std::size_t>(i)].get();
    EXPECT_EQ(status_of(file), expected) << i;
    EXPECT_EQ(info_of(file).name, "kept");
    EXPECT_NE(events_of(file) & POLLIN, 0);
  }
}

TEST(signaled_file, that_is_left_to_its_holders_says_what_one_that_is_kept_says) {
  std::vector<unique_fd> kept;
  for (int i = 0; i < 40; ++i) kept.push_back(sync_file_create(fence::stub()).value());
  const std::ptrdiff_t before = open_descriptors();
  timeline_issuer timeline = make_timeline({.driver_name = "far", .timeline_name = "away"});
  const fence_ref f = timeline.emit().value();
  const unique_fd file = sync_file_create(f, "left").value();
  timeline.signal(*f, -EIO);
  EXPECT_EQ(open_descriptors(), before + 1) << "the file alone";
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(events_of(file.get()), POLLIN) << "no peer is closed";
    EXPECT_EQ(status_of(file.get()), -EIO);
    EXPECT_EQ(info_of(file.get()).name, "left");
    const fence_ref here = sync_file_get_fence(file.get()).value();
    EXPECT_EQ(here->status(), -EIO);
    EXPECT_EQ(here->timestamp_ns(), f->timestamp_ns());
    EXPECT_EQ(here->timeline_name(), "away");
  }
  // The process that takes the record gets the exporting end with it, which can say nothing more.
  std::array<std::byte, 512> bytes;
  const result<message> record = receive_message(file.get(), bytes, false, 1);
  ASSERT_TRUE(record && record->fd_count == 1);
  EXPECT_EQ(send_message(record->fds[0].get(), bytes), errno_code(EPIPE));
  EXPECT_EQ(status_of(file.get()), -EIO);
}

// --- Namespaces, users, time ---

TEST(namespaces, regress_a_file_from_another_network_is_pending_until_its_exporter_says) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  peer mortal(export_one);
  const unique_fd of_mortal = hear(mortal.line()).fd;
  peer holder([&](int line) {
    if (::unshare(CLONE_NEWNET) != 0) {
      tell(line, 'x');
      return 0;
    }
    const fence_ref f = sync_file_get_fence(file.get()).value();
    const fence_ref g = sync_file_get_fence(of_mortal.get()).value();
    UFENCE_CHILD_EXPECT(f->wait(deadline_after(150 * millisecond_ns)) == errno_code(ETIME));
    UFENCE_CHILD_EXPECT(status_of(file.get()) == 0);
    const file_info told = info_of(file.get());
    UFENCE_CHILD_EXPECT(told.name == "from afar" && told.leaves[0].timeline == "away");
    // A holder makes it look over: that it can't be asked from here is no death.
    UFENCE_CHILD_EXPECT(::shutdown(file.get(), SHUT_RDWR) == 0);
    UFENCE_CHILD_EXPECT(f->wait(deadline_after(250 * millisecond_ns)) == errno_code(ETIME));
    UFENCE_CHILD_EXPECT(status_of(file.get()) == 0);
    tell(line, 'r');
    UFENCE_CHILD_EXPECT(!f->wait(patience()) && f->status() == -EIO);
    UFENCE_CHILD_EXPECT(status_of(file.get()) == -EIO);
    UFENCE_CHILD_EXPECT(!g->wait(patience()) && g->status() == -EOWNERDEAD);
    return 0;
  });
  const char said = hear(holder.line()).what;
  if (said == 'x') GTEST_SKIP() << "no network namespaces here";
  ASSERT_EQ(said, 'r');
  tell(exporter.line(), 'e');
  mortal.kill();
  EXPECT_EQ(holder.join(), 0);
}

TEST(namespaces, regress_fences_of_one_timeline_have_one_context_where_its_process_has_no_number) {
  peer exporter([](int line) {
    timeline_issuer timeline = make_timeline();
    for (int i = 0; i < 10; ++i) {
      tell(line, 'f', sync_file_create(timeline.emit().value()).value().get());
      hear(line);
    }
    timeline.signal_up_to(10);
    hear(line);
    return 0;
  });
  std::vector<unique_fd> files;
  for (int i = 0; i < 10; ++i) {
    files.push_back(hear(exporter.line()).fd);
    if (i < 9) tell(exporter.line(), 'n');
  }
  peer outer([&](int line) {
    if (::unshare(CLONE_NEWPID) != 0) {
      tell(line, 'x');
      return 0;
    }
    const pid_t inner = ::fork();
    if (inner == 0) {
      ucred made_by{};
      socklen_t size = sizeof made_by;
      ::getsockopt(files[0].get(), SOL_SOCKET, SO_PEERCRED, &made_by, &size);
      if (made_by.pid != 0) ::_exit(1);
      if (!detail::maker_of(files[0].get())) ::_exit(77);  // before pidfs
      std::vector<fence_ref> all;
      for (const unique_fd& file : files) all.push_back(sync_file_get_fence(file.get()).value());
      const unique_fd merged = sync_file_create(merge(all).value()).value();
      ::_exit(info_of(merged.get()).leaves.size() == 1 ? 0 : 2);
    }
    int status = 0;
    UFENCE_CHILD_EXPECT(::waitpid(inner, &status, 0) == inner && WIFEXITED(status));
    tell(line, WEXITSTATUS(status) == 77 ? 'x' : 'd');
    return WEXITSTATUS(status) == 77 ? 0 : WEXITSTATUS(status);
  });
  const char said = hear(outer.line()).what;
  EXPECT_EQ(outer.join(), 0);
  if (said == 'x') GTEST_SKIP() << "no namespaces of processes here, or a kernel before pidfs";
}

TEST(namespaces, regress_a_stranger_without_a_number_forges_nothing_of_a_dead_exporter) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  const detail::socket_address label = label_address(file.get());
  exporter.kill();
  // In namespaces where neither the exporter nor the stranger has a number of its own.
  peer stranger([&](int line) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0) {
      tell(line, 'x');
      return 0;
    }
    const pid_t inner = ::fork();
    if (inner == 0) {
      // It binds and listens where the exporter was, and on the holders' own end.
      const unique_fd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
      static_cast<void>(bind_socket(listener.get(), label));
      static_cast<void>(::listen(listener.get(), 8));
      if (bind_socket(file.get(), label) != errno_code(EINVAL)) ::_exit(1);
      if (::listen(file.get(), 8) == 0) ::_exit(2);
      if (status_of(file.get()) != -EOWNERDEAD) ::_exit(3);
      ::_exit(sync_file_get_fence(file.get()).value()->status() == -EOWNERDEAD ? 0 : 4);
    }
    int status = 0;
    UFENCE_CHILD_EXPECT(::waitpid(inner, &status, 0) == inner && WIFEXITED(status));
    tell(line, 'd');
    return WEXITSTATUS(status);
  });
  const char said = hear(stranger.line()).what;
  EXPECT_EQ(stranger.join(), 0);
  if (said == 'x') GTEST_SKIP() << "no user namespaces here";
  EXPECT_EQ(status_of(file.get()), -EOWNERDEAD);
}

TEST(exporter, regress_that_becomes_another_user_is_not_dead) {
  if (::geteuid() != 0) GTEST_SKIP() << "takes root";
  peer exporter([](int line) {
    timeline_issuer timeline = make_timeline({.driver_name = "far", .timeline_name = "away"});
    const fence_ref f = timeline.emit().value();
    const unique_fd file = sync_file_create(f, "from afar").value();
    tell(line, 'f', file.get());
    UFENCE_CHILD_EXPECT(become_another_user());
    tell(line, 'u');
    hear(line);
    timeline.signal(*f, -EIO);
    hear(line);
    return 0;
  });
  const unique_fd file = hear(exporter.line()).fd;
  const fence_ref f = sync_file_get_fence(file.get()).value();
  ASSERT_EQ(hear(exporter.line()).what, 'u');
  EXPECT_EQ(info_of(file.get()).name, "from afar");
  ASSERT_EQ(::shutdown(file.get(), SHUT_RDWR), 0);
  EXPECT_EQ(f->wait(deadline_after(150 * millisecond_ns)), errno_code(ETIME));
  EXPECT_EQ(status_of(file.get()), 0);
  tell(exporter.line(), 's');
  EXPECT_EQ(f->wait(patience()), no_error);
  EXPECT_EQ(f->status(), -EIO);
  tell(exporter.line(), 'e');
  EXPECT_EQ(exporter.join(), 0);
}

TEST(timestamps, regress_are_the_signals_through_import_merge_and_pass_on) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  const fence_ref before = sync_file_get_fence(file.get()).value();
  const unique_fd merged = sync_file_merge(file.get(), file.get()).value();
  const unique_fd passed_on = sync_file_create(before).value();
  const std::int64_t earliest = now_ns();
  tell(exporter.line(), 's');
  ASSERT_EQ(hear(exporter.line()).what, 'd');
  const std::int64_t latest = now_ns();
  ASSERT_EQ(before->wait(patience()), no_error);
  const std::uint64_t told = info_of(file.get()).leaves[0].timestamp_ns;
  EXPECT_GE(told, static_cast<std::uint64_t>(earliest));
  EXPECT_LE(told, static_cast<std::uint64_t>(latest));
  EXPECT_EQ(static_cast<std::uint64_t>(before->timestamp_ns()), told);
  const fence_ref after = sync_file_get_fence(file.get()).value();
  EXPECT_EQ(static_cast<std::uint64_t>(after->timestamp_ns()), told);
  ASSERT_TRUE(becomes_readable(merged.get()));
  EXPECT_EQ(info_of(merged.get()).leaves[0].timestamp_ns, told);
  ASSERT_TRUE(becomes_readable(passed_on.get()));
  EXPECT_EQ(info_of(passed_on.get()).leaves[0].timestamp_ns, told);
}

// --- Programs that close what they do not know ---

TEST(closed_descriptors, regress_of_the_library_are_made_anew_and_what_was_lost_ends) {
  peer other(export_one);
  const unique_fd far = hear(other.line()).fd;
  peer daemon([&](int line) {
    new_fence lost = make_fence();
    tell(line, 'f', sync_file_create(lost.fence).value().get());
    const unique_fd object = syncobj_export(syncobj::create().value()).value();
    const fence_ref imported = sync_file_get_fence(far.get()).value();
    UFENCE_CHILD_EXPECT(imported->status() == 0);
    UFENCE_CHILD_EXPECT(::close_range(3, ~0U, 0) == 0);
    // Others have the numbers now; they are not touched.
    std::vector<unique_fd> others;
    for (int i = 0; i < 12; ++i) others.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    new_fence f = make_fence();
    const unique_fd file = sync_file_create(f.fence).value();
    UFENCE_CHILD_EXPECT(!imported->wait(patience()) && imported->status() == -EBADF);
    lost.signal.signal();
    f.signal.signal(-EIO);
    UFENCE_CHILD_EXPECT(becomes_readable(file.get()));
    UFENCE_CHILD_EXPECT(status_of(file.get()) == -EIO);
    for (const unique_fd& fd : others) UFENCE_CHILD_EXPECT(::fcntl(fd.get(), F_GETFD) >= 0);
    ::_exit(0);  // what it thinks it owns is gone
  });
  const unique_fd file = hear(daemon.line()).fd;
  EXPECT_EQ(sync_file_get_fence(file.get()).value()->wait(patience()), no_error);
  EXPECT_EQ(status_of(file.get()), -EOWNERDEAD);
  EXPECT_EQ(daemon.join(), 0);
}

// --- Sandboxes ---

TEST(sandbox, regress_that_denies_names_lets_a_holder_import_and_wait) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  peer holder([&](int line) {
    if (!deny_system_calls({SYS_bind, SYS_listen, SYS_accept, SYS_accept4, SYS_connect, SYS_socket},
                           EPERM)) {
      tell(line, 'x');
      return 0;
    }
    const result<fence_ref> f = sync_file_get_fence(file.get());
    UFENCE_CHILD_EXPECT(f.has_value());
    UFENCE_CHILD_EXPECT(info_of(file.get()).name == "from afar");
    tell(line, 'r');
    UFENCE_CHILD_EXPECT(!(*f)->wait(patience()) && (*f)->status() == -EIO);
    return 0;
  });
  const char said = hear(holder.line()).what;
  if (said == 'x') GTEST_SKIP() << "no seccomp filters here";
  ASSERT_EQ(said, 'r');
  tell(exporter.line(), 'e');
  EXPECT_EQ(holder.join(), 0);
}

// What the C library calls where newer architectures have one call only.
#ifdef SYS_poll
constexpr long wait_for_epoll = SYS_epoll_wait, wait_for_poll = SYS_poll;
#else
constexpr long wait_for_epoll = SYS_epoll_pwait, wait_for_poll = SYS_ppoll;
#endif

// docs/SECURITY.md names them.
constexpr std::initializer_list<long> needed_by_consumers = {
    SYS_getsockname, SYS_getpeername, SYS_getsockopt, SYS_fstat, SYS_newfstatat, SYS_recvmsg,
    SYS_fcntl, SYS_getrandom,
    // Of what is pending.
    SYS_epoll_create1, SYS_epoll_ctl, wait_for_epoll, SYS_eventfd2, SYS_clone3, SYS_futex,
    SYS_geteuid,
    // Info of that.
    SYS_socketpair, SYS_sendmsg, wait_for_poll,
    // What a program with threads has in any case.
    SYS_read, SYS_write, SYS_close, SYS_mmap, SYS_munmap, SYS_mprotect, SYS_madvise, SYS_brk,
    SYS_rt_sigprocmask, SYS_prctl, SYS_set_robust_list, SYS_rseq, SYS_gettid, SYS_exit,
    SYS_exit_group};

TEST(sandbox, of_what_consumers_need_and_nothing_else_lets_them_work) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers make calls of their own";
#endif
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  peer holder([&](int line) {
    ::alarm(0);
    if (!allow_system_calls_alone(needed_by_consumers)) {
      tell(line, 'x');
      return 0;
    }
    const result<fence_ref> f = sync_file_get_fence(file.get());
    UFENCE_CHILD_EXPECT(f.has_value());
    UFENCE_CHILD_EXPECT(info_of(file.get()).name == "from afar");
    tell(line, 'r');
    UFENCE_CHILD_EXPECT(!(*f)->wait(patience()) && (*f)->status() == -EIO);
    UFENCE_CHILD_EXPECT(info_of(file.get()).status == -EIO);
    UFENCE_CHILD_EXPECT(sync_file_get_fence(file.get()).value()->status() == -EIO);
    return 0;
  });
  const char said = hear(holder.line()).what;
  if (said == 'x') GTEST_SKIP() << "no seccomp filters here";
  ASSERT_EQ(said, 'r');
  tell(exporter.line(), 'e');
  EXPECT_EQ(holder.join(), 0);
}

TEST(sandbox, refusals_are_told_as_what_they_are) {
  struct refusal {
    long call;
    int error;
  };
  for (const refusal& r : {refusal{SYS_bind, EPERM}, refusal{SYS_socketpair, EACCES},
                           refusal{SYS_epoll_create1, ENOSYS}, refusal{SYS_eventfd2, EPERM},
                           refusal{SYS_getrandom, EPERM}}) {
    SCOPED_TRACE(r.call);
    EXPECT_EQ(in_child([&] {
                new_fence f = make_fence();
                if (!deny_system_calls({r.call}, r.error)) return 0;
                const result<unique_fd> file = sync_file_create(f.fence);
                f.signal.signal();
                UFENCE_CHILD_EXPECT(!file && file.error() == errno_code(r.error));
                return 0;
              }),
              0);
  }
  // Without a place for the key the names are not told, to anybody; everything else works.
  EXPECT_EQ(in_child([&] {
              timeline_issuer timeline =
                  make_timeline({.driver_name = "hush-driver", .timeline_name = "hush-timeline"});
              const fence_ref f = timeline.emit().value();
              if (!deny_system_calls({SYS_utimensat}, EPERM)) return 0;
              const unique_fd file = sync_file_create(f, "hush-file").value();
              UFENCE_CHILD_EXPECT(all_sockets().find("hush") == std::string::npos);
              UFENCE_CHILD_EXPECT(detail::label_of(file.get()).value().is_readable);
              timeline.signal(*f, -EIO);
              UFENCE_CHILD_EXPECT(detail::verdict_of(file.get()).value().status == -EIO);
              return 0;
            }),
            0);
}

}  // namespace
}  // namespace ufence::testing
