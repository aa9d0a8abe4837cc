// Sync files and processes that do harm: holders, exporters, those who ask.
#include <fcntl.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <vector>

#include "ufence/io/reactor.h"
#include "ufence/sync/ask.h"
#include "ufence/sync/label.h"
#include "ufence/sync/testing/peer.h"
#include "ufence/sync/testing/strangers.h"
#include "ufence/sync/wire.h"

namespace ufence::testing {
namespace {

// --- Holders and exporters that do harm ---

TEST(hostile_holder, that_shuts_the_socket_down_ends_nothing) {
  for (const int how : {SHUT_RD, SHUT_WR, SHUT_RDWR}) {
    SCOPED_TRACE(how);
    peer exporter(export_one);
    const unique_fd file = hear(exporter.line()).fd;
    const fence_ref f = sync_file_get_fence(file.get()).value();
    ASSERT_EQ(::shutdown(file.get(), how), 0);
    const fence_ref later = sync_file_get_fence(file.get()).value();
    EXPECT_EQ(f->wait(deadline_after(50 * millisecond_ns)), errno_code(ETIME));
    EXPECT_EQ(status_of(file.get()), 0);
    EXPECT_EQ(info_of(file.get()).name, "from afar");
    tell(exporter.line(), 'e');
    EXPECT_EQ(f->wait(patience()), no_error);
    EXPECT_EQ(f->status(), -EIO);
    EXPECT_EQ(later->status(), -EIO);
    EXPECT_EQ(status_of(file.get()), -EIO);
  }
}

TEST(hostile_holder, that_shuts_the_socket_down_does_not_hide_the_exporters_death) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  const fence_ref f = sync_file_get_fence(file.get()).value();
  ASSERT_EQ(::shutdown(file.get(), SHUT_RDWR), 0);
  EXPECT_EQ(status_of(file.get()), 0);
  exporter.kill();
  EXPECT_EQ(f->wait(patience()), no_error);
  EXPECT_EQ(f->status(), -EOWNERDEAD);
}

TEST(hostile_holder, in_the_exporting_process_ends_nothing_either) {
  new_fence f = make_fence();
  const unique_fd file = sync_file_create(f.fence).value();
  ASSERT_EQ(::shutdown(file.get(), SHUT_RDWR), 0);
  detail::the_reactor.reap_closed();
  EXPECT_EQ(sync_file_get_fence(file.get()).value(), f.fence);
  EXPECT_EQ(status_of(file.get()), 0);
  f.signal.signal(-EIO);
  EXPECT_EQ(status_of(file.get()), -EIO);
}

TEST(hostile_holder, that_takes_the_record_takes_it_from_nobody) {
  peer exporter(export_two);
  const unique_fd file = hear(exporter.line()).fd;
  tell(exporter.line(), 'e');
  ASSERT_EQ(hear(exporter.line()).what, 'd');
  std::array<char, 512> taken{};
  ASSERT_GT(::recv(file.get(), taken.data(), taken.size(), 0), 0);
  EXPECT_EQ(::recv(file.get(), taken.data(), taken.size(), 0), 0);
  EXPECT_TRUE(becomes_readable(file.get()));
  EXPECT_EQ(status_of(file.get()), -EIO);
  EXPECT_EQ(info_of(file.get()).name, "two");
  EXPECT_EQ(info_of(file.get()).leaves.size(), 2U);
  const fence_ref f = sync_file_get_fence(file.get()).value();
  EXPECT_EQ(f->wait(patience()), no_error);
  EXPECT_EQ(f->status(), -EIO);
}

TEST(hostile_holder, that_floods_the_socket_disturbs_nobody) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  const fence_ref f = sync_file_get_fence(file.get()).value();
  std::array<char, 1024> junk{};
  while (::send(file.get(), junk.data(), junk.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
  }
  EXPECT_EQ(info_of(file.get()).name, "from afar");
  tell(exporter.line(), 's');
  EXPECT_EQ(f->wait(patience()), no_error);
  EXPECT_EQ(f->status(), 1);
}

// A socket that has the name of a sync file, and whose other end is the test's.
struct forged {
  unique_fd file;
  unique_fd end;
  detail::label_secret secret;

  explicit forged(std::uint64_t timeline = 7, std::uint64_t seqno = 8) {
    socket_pair ends = make_socket_pair().value();
    file = std::move(ends.first);
    end = std::move(ends.second);
    secret = detail::label_secret::make().value();
    EXPECT_TRUE(detail::keep_key(file.get(), secret));
    const detail::socket_address label = detail::write_label({.timeline = timeline,
                                                              .seqno = seqno,
                                                              .driver_name = "forged",
                                                              .timeline_name = "line",
                                                              .file_name = {}},
                                                             secret);
    EXPECT_EQ(bind_socket(file.get(), label), no_error);
  }
  void send(std::span<const std::byte> bytes) const {
    EXPECT_EQ(send_message(end.get(), bytes), no_error);
    ::shutdown(end.get(), SHUT_WR);
  }
};

std::vector<std::byte> record_of(const fence_ref& f) {
  std::vector<std::byte> bytes(detail::record_room(f).value());
  bytes.resize(detail::write_record(bytes, "a name", f));
  return bytes;
}

TEST(forged_record, that_is_right_is_believed) {
  const forged forger;
  const fence_ref f = sync_file_get_fence(forger.file.get()).value();
  EXPECT_EQ(f->status(), 0);
  forger.send(record_of(fence::stub()));
  EXPECT_EQ(f->wait(patience()), no_error);
  EXPECT_EQ(f->status(), 1);
  EXPECT_EQ(info_of(forger.file.get()).name, "a name");
}

TEST(forged_record, that_is_wrong_ends_its_fence_with_EPROTO) {
  const std::vector<std::byte> right = record_of(fence::stub());
  std::vector<std::vector<std::byte>> wrong;
  wrong.push_back({std::byte{1}});
  wrong.push_back({right.begin(), right.end() - 1});
  wrong.push_back(right);
  wrong.back().push_back(std::byte{0});
  wrong.push_back(right);
  wrong.back()[0] ^= std::byte{1};  // version
  wrong.push_back(right);
  wrong.back()[8] = std::byte{2};  // status
  wrong.push_back(right);
  wrong.back()[12] = std::byte{200};  // leaves
  wrong.emplace_back(detail::record_size_max + 100);
  {
    new_fence pending = make_fence();
    wrong.push_back(record_of(pending.fence));
    pending.signal.signal();
  }
  for (const std::vector<std::byte>& bytes : wrong) {
    SCOPED_TRACE(bytes.size());
    const forged forger;
    const fence_ref f = sync_file_get_fence(forger.file.get()).value();
    forger.send(bytes);
    EXPECT_EQ(f->wait(patience()), no_error);
    EXPECT_EQ(f->status(), -EPROTO);
    EXPECT_EQ(status_of(forger.file.get()), -EPROTO);
    EXPECT_EQ(sync_file_get_fence(forger.file.get()).value()->status(), -EPROTO);
  }
}

TEST(forged_address, is_no_sync_file) {
  for (const std::string_view name :
       {"ufence/", "ufence/1", "ufence/1/2/3/4/", "ufence/1/2/3/x/driver\0line", "other/1/2/3/4/",
        "ufence/AAAAAAAAAAAAAAAA"}) {
    socket_pair ends = make_socket_pair().value();
    detail::socket_address address;
    address.name.sun_family = AF_UNIX;
    std::copy(name.begin(), name.end(), address.name.sun_path + 1);
    address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    ASSERT_EQ(::bind(ends.first.get(), address.get(), address.size), 0);
    EXPECT_EQ(sync_file_get_fence(ends.first.get()).error(), errno_code(EINVAL)) << name;
  }
}

TEST(forged_address, with_the_number_of_another_exporter_is_not_taken_for_its_own) {
  // The victim's fence, and one of the test's that claims its timeline and a later seqno.
  peer victim(export_one);
  const unique_fd file = hear(victim.line()).fd;
  const detail::opened_label told = detail::label_of(file.get()).value();
  ASSERT_TRUE(told.is_readable);
  const forged later(told.timeline, told.seqno + 1);
  const unique_fd both = sync_file_merge(file.get(), later.file.get()).value();
  EXPECT_EQ(info_of(both.get()).leaves.size(), 2U);
  later.send(record_of(fence::stub()));
  EXPECT_EQ(sync_file_get_fence(later.file.get()).value()->wait(patience()), no_error);
  EXPECT_EQ(events_of(both.get()), 0);
  tell(victim.line(), 's');
  EXPECT_TRUE(becomes_readable(both.get()));
}

// --- Those who ask ---

TEST(question, without_proof_or_sense_gets_no_answer) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  const detail::sync_request right{};
  detail::sync_request wrong{};
  wrong.version = 1;
  const auto bytes = [](const detail::sync_request& r) { return std::as_bytes(std::span(&r, 1)); };
  std::array<std::byte, 512> answer;
  // Sends it over the file with one end of a pair, if any, and waits for the end of the other one.
  const auto ask = [&](std::span<const std::byte> what, int copies = 1) {
    socket_pair ends = make_socket_pair().value();
    const std::vector<int> fds(static_cast<std::size_t>(copies), ends.second.get());
    EXPECT_EQ(send_message(file.get(), what, fds), no_error);
    ends.second.reset();
    EXPECT_TRUE(becomes_readable(ends.first.get()));
    const result<message> got = receive_message(ends.first.get(), answer);
    return got ? got->size : 0;
  };
  EXPECT_EQ(ask(bytes(right), 0), 0U);
  EXPECT_EQ(ask(bytes(wrong)), 0U);
  EXPECT_EQ(ask(bytes(right).first(4)), 0U);
  EXPECT_EQ(ask({}), 0U);
  EXPECT_EQ(ask(bytes(right), 2), 0U);
  const std::vector<std::byte> long_one(4096);
  EXPECT_EQ(ask(long_one), 0U);
  // A descriptor that takes no messages is closed.
  std::array<int, 2> pipe_ends{};
  ASSERT_EQ(::pipe2(pipe_ends.data(), O_CLOEXEC), 0);
  const unique_fd from(pipe_ends[0]);
  unique_fd to(pipe_ends[1]);
  EXPECT_EQ(send_message(file.get(), bytes(right), {{to.get()}}), no_error);
  to.reset();
  char byte = 0;
  EXPECT_EQ(::read(from.get(), &byte, 1), 0);
  EXPECT_GT(ask(bytes(right)), 0U);
}

TEST(question, is_answered_whichever_process_is_silent) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  // Many ask, and nobody reads the answers.
  std::vector<unique_fd> silent;
  for (int i = 0; i < 100; ++i) silent.push_back(detail::ask(file.get(), {}).value());
  const file_info told = info_of(file.get());
  EXPECT_EQ(told.name, "from afar");
  EXPECT_EQ(told.status, 0);
}

TEST(question, whose_descriptor_blocks_when_it_is_closed_keeps_nobody_waiting) {
  peer exporter([](int line) {
    timeline_issuer timeline = make_timeline({.driver_name = "far", .timeline_name = "away"});
    const fence_ref f = timeline.emit().value();
    const fence_ref g = timeline.emit().value();
    tell(line, 'f', sync_file_create(f, "one").value().get());
    tell(line, 'g', sync_file_create(g, "two").value().get());
    const unique_fd far = hear(line).fd;
    const fence_ref h = sync_file_get_fence(far.get()).value();
    tell(line, 'r');
    // Its own reactor is not kept from anything.
    UFENCE_CHILD_EXPECT(!h->wait(patience()));
    tell(line, 'w');
    hear(line);
    timeline.signal_up_to(2);
    return 0;
  });
  const unique_fd one = hear(exporter.line()).fd;
  const unique_fd two = hear(exporter.line()).fd;
  new_fence mine = make_fence();
  tell(exporter.line(), 'h', sync_file_create(mine.fence).value().get());
  ASSERT_EQ(hear(exporter.line()).what, 'r');
  slow_to_close slow;
  const detail::sync_request right{};
  const auto bytes = std::as_bytes(std::span(&right, 1));
  EXPECT_EQ(send_message(one.get(), bytes, {{slow.descriptor.get()}}), no_error);
  EXPECT_EQ(send_message(one.get(), {}, {{slow.descriptor.get(), slow.descriptor.get()}}),
            no_error);
  slow.give_up();
  EXPECT_EQ(info_of(two.get()).name, "two");
  mine.signal.signal();
  EXPECT_EQ(hear(exporter.line()).what, 'w');
  slow.let_close();
  EXPECT_EQ(info_of(one.get()).name, "one");
  tell(exporter.line(), 'e');
  EXPECT_EQ(exporter.join(), 0);
}

TEST(question, is_not_asked_of_a_stranger_who_takes_the_label_of_a_dead_exporter) {
  peer exporter(export_one);
  unique_fd file = hear(exporter.line()).fd;
  const fence_ref f = sync_file_get_fence(file.get()).value();
  detail::socket_address label;
  label.size = sizeof label.name;
  ASSERT_EQ(::getsockname(file.get(), reinterpret_cast<sockaddr*>(&label.name), &label.size), 0);
  exporter.kill();
  // Labels are not looked for: a socket that has one of that name is nobody's.
  const unique_fd stranger(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  EXPECT_EQ(bind_socket(stranger.get(), label), errno_code(EADDRINUSE));
  EXPECT_EQ(f->wait(patience()), no_error);
  EXPECT_EQ(f->status(), -EOWNERDEAD);
  EXPECT_EQ(status_of(file.get()), -EOWNERDEAD);
}

}  // namespace
// --- pollable_fd(): what the signalling path has to do with its holders ---

// All that a holder can think of, over and over, until it is told to stop.
int torment(int line) {
  ::signal(SIGPIPE, SIG_DFL);  // which nothing here brings about
  const unique_fd fd = hear(line).fd;
  const std::uint64_t most = UINT64_MAX - 1;
  const ::sock_filter drop_all{.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = 0};
  const ::sock_fprog filter{.len = 1, .filter = const_cast<::sock_filter*>(&drop_all)};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
  const int least = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &least, sizeof least);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_PEEK_OFF, &least, sizeof least);
  ::fcntl(fd.get(), F_SETOWN, ::getpid());
  tell(line, 'b');
  while (events_of(line) == 0) {
    ::fcntl(fd.get(), F_SETFL, O_ASYNC);  // not O_NONBLOCK
    UFENCE_CHILD_EXPECT(::write(fd.get(), &most, sizeof most) < 0 && errno == EPIPE);
    UFENCE_CHILD_EXPECT(send_message(fd.get(), {}, {{fd.get()}}) == errno_code(EPIPE));
    std::byte taken{};
    static_cast<void>(!::recv(fd.get(), &taken, 1, MSG_DONTWAIT | MSG_PEEK));
    static_cast<void>(::shutdown(fd.get(), SHUT_WR));
  }
  return 0;
}

TEST(hostile_holder, regress_of_a_pollable_descriptor_does_not_keep_the_signaller) {
  for (int i = 0; i < 8; ++i) {
    new_fence made = make_fence();
    unique_fd fd = made.fence->pollable_fd().value();
    peer holder([](int line) {
      ::signal(SIGIO, SIG_IGN);
      return torment(line);
    });
    tell(holder.line(), 'f', fd.get());
    ASSERT_EQ(hear(holder.line()).what, 'b');
    EXPECT_EQ(events_of(fd.get()), 0);
    if (i % 2 == 1) fd.reset();  // the holder alone has it
    EXPECT_TRUE(made.signal.signal());
    EXPECT_TRUE(!fd || becomes_readable(fd.get()));
    tell(holder.line(), 'e');
    EXPECT_EQ(holder.join(), 0);
  }
}

TEST(hostile_holder, that_reads_a_pollable_descriptor_keeps_it_from_no_other) {
  new_fence made = make_fence();
  const unique_fd fd = made.fence->pollable_fd().value();
  peer holder([](int line) {
    const unique_fd same = hear(line).fd;
    tell(line, 'b');
    UFENCE_CHILD_EXPECT(becomes_readable(same.get()));
    std::uint64_t taken = 0;
    static_cast<void>(!::read(same.get(), &taken, sizeof taken));
    static_cast<void>(!::read(same.get(), &taken, sizeof taken));
    return 0;
  });
  tell(holder.line(), 'f', fd.get());
  ASSERT_EQ(hear(holder.line()).what, 'b');
  made.signal.signal();
  EXPECT_EQ(holder.join(), 0);
  EXPECT_TRUE(becomes_readable(fd.get()));
}

}  // namespace ufence::testing
