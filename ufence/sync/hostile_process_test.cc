// Sync files and processes that do harm: holders, exporters, those who ask.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <vector>

#include "ufence/sync/reactor.h"
#include "ufence/sync/testing/peer.h"
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
  detail::reap_hung_up();
  EXPECT_EQ(sync_file_get_fence(file.get()).value(), f.fence);
  EXPECT_EQ(status_of(file.get()), 0);
  f.signal.signal(-EIO);
  EXPECT_EQ(status_of(file.get()), -EIO);
}

TEST(hostile_holder, that_takes_the_record_takes_it_from_nobody) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  tell(exporter.line(), 'e');
  ASSERT_EQ(hear(exporter.line()).what, 'd');
  std::array<char, 512> taken{};
  ASSERT_GT(::recv(file.get(), taken.data(), taken.size(), 0), 0);
  EXPECT_EQ(::recv(file.get(), taken.data(), taken.size(), 0), 0);
  EXPECT_TRUE(becomes_readable(file.get()));
  EXPECT_EQ(status_of(file.get()), -EIO);
  EXPECT_EQ(info_of(file.get()).name, "from afar");
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

  explicit forged(std::uint64_t exporter = 0xABCDEF) {
    socket_pair ends = make_socket_pair().value();
    file = std::move(ends.first);
    end = std::move(ends.second);
    static std::uint64_t serial = 0;
    const detail::socket_address address = detail::write_address({.exporter = exporter,
                                                                  .serial = ++serial,
                                                                  .context = 7,
                                                                  .seqno = 8,
                                                                  .driver_name = "forged",
                                                                  .timeline_name = "line"});
    EXPECT_EQ(::bind(file.get(), address.get(), address.size), 0);
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
  for (const std::string_view name : {"ufence/", "ufence/1", "ufence/1/2/3/4/",
                                      "ufence/1/2/3/x/driver\0line", "other/1/2/3/4/"}) {
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
  detail::socket_address address;
  address.size = sizeof address.name;
  ASSERT_EQ(::getsockname(file.get(), reinterpret_cast<sockaddr*>(&address.name), &address.size),
            0);
  const detail::sync_address told = detail::parse_address(address).value();
  socket_pair ends = make_socket_pair().value();
  const detail::socket_address later = detail::write_address({.exporter = told.exporter,
                                                              .serial = 1,
                                                              .context = told.context,
                                                              .seqno = told.seqno + 1,
                                                              .driver_name = "far",
                                                              .timeline_name = "away"});
  ASSERT_EQ(::bind(ends.first.get(), later.get(), later.size), 0);
  const unique_fd both = sync_file_merge(file.get(), ends.first.get()).value();
  EXPECT_EQ(info_of(both.get()).leaves.size(), 2U);
  EXPECT_EQ(send_message(ends.second.get(), record_of(fence::stub())), no_error);
  EXPECT_EQ(sync_file_get_fence(ends.first.get()).value()->wait(patience()), no_error);
  EXPECT_EQ(events_of(both.get()), 0);
  tell(victim.line(), 's');
  EXPECT_TRUE(becomes_readable(both.get()));
}

// --- Those who ask ---

detail::socket_address listener_of(int file) {
  detail::socket_address address;
  address.size = sizeof address.name;
  EXPECT_EQ(::getsockname(file, reinterpret_cast<sockaddr*>(&address.name), &address.size), 0);
  return detail::write_listener_address(detail::parse_address(address).value().exporter);
}

unique_fd connect_to(const detail::socket_address& address) {
  unique_fd connection(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(connection.get(), address.get(), address.size), 0);
  return connection;
}

TEST(question, without_proof_or_sense_gets_no_answer) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  const detail::socket_address listener = listener_of(file.get());
  const detail::sync_request right{};
  detail::sync_request wrong{};
  wrong.version = 1;
  const auto bytes = [](const detail::sync_request& r) { return std::as_bytes(std::span(&r, 1)); };
  std::array<std::byte, 512> answer;
  const auto ask = [&](std::span<const std::byte> what, std::span<const int> fds) {
    const unique_fd connection = connect_to(listener);
    EXPECT_EQ(send_message(connection.get(), what, fds), no_error);
    EXPECT_TRUE(becomes_readable(connection.get()));
    const result<message> got = receive_message(connection.get(), answer);
    return got ? got->size : 0;
  };
  EXPECT_EQ(ask(bytes(right), {}), 0U);
  EXPECT_EQ(ask(bytes(wrong), {{file.get()}}), 0U);
  EXPECT_EQ(ask(bytes(right).first(4), {{file.get()}}), 0U);
  EXPECT_EQ(ask(bytes(right), {{file.get(), file.get()}}), 0U);
  const std::vector<std::byte> long_one(4096);
  EXPECT_EQ(ask(long_one, {{file.get()}}), 0U);
  // What is not one of its files is a fence that nobody knows.
  const unique_fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const std::size_t size = ask(bytes(right), {{null.get()}});
  ASSERT_GT(size, 0U);
  const auto record = detail::record_view::parse(std::span(answer).first(size));
  EXPECT_EQ(record.value().status(), -EOWNERDEAD);
  EXPECT_GT(ask(bytes(right), {{file.get()}}), 0U);
}

TEST(question, is_answered_whoever_is_silent) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  const detail::socket_address listener = listener_of(file.get());
  std::vector<unique_fd> silent;
  for (int i = 0; i < 200; ++i) silent.push_back(connect_to(listener));
  const file_info told = info_of(file.get());
  EXPECT_EQ(told.name, "from afar");
  EXPECT_EQ(told.status, 0);
}

TEST(question, to_a_stranger_at_the_exporters_address_is_not_believed) {
  peer exporter(export_one);
  const unique_fd file = hear(exporter.line()).fd;
  const fence_ref f = sync_file_get_fence(file.get()).value();
  const detail::socket_address listener = listener_of(file.get());
  exporter.kill();
  // The address is free now; its new owner says "pending" for ever, or nothing.
  const unique_fd stranger(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(stranger.get(), listener.get(), listener.size), 0);
  ASSERT_EQ(::listen(stranger.get(), 8), 0);
  EXPECT_EQ(f->wait(patience()), no_error);
  EXPECT_EQ(f->status(), -EOWNERDEAD);
  EXPECT_EQ(status_of(file.get()), -EOWNERDEAD);
}

}  // namespace
}  // namespace ufence::testing
