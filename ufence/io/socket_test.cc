#include "ufence/io/socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>

#include <array>
#include <vector>

#include "ufence/io/peer.h"

namespace ufence {
namespace {

using bytes = std::vector<std::byte>;

TEST(socket, sends_more_than_it_has_room_for_by_default) {
  const socket_pair ends = make_socket_pair().value();
  const int little = 4608;
  ASSERT_EQ(::setsockopt(ends.first.get(), SOL_SOCKET, SO_SNDBUF, &little, sizeof little), 0);
  const bytes large(100'000, std::byte{7});
  EXPECT_EQ(send_message(ends.first.get(), large), errno_code(EMSGSIZE));
  EXPECT_EQ(send_large_message(ends.first.get(), large), std::error_code());
  bytes room(large.size() + 1);
  const result<message> got = receive_message(ends.second.get(), room);
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->size, large.size());
}

TEST(socket, knows_whether_something_is_unread) {
  for (const bool is_closed : {false, true}) {
    for (const std::size_t size : {std::size_t{0}, std::size_t{5}}) {
      socket_pair ends = make_socket_pair().value();
      EXPECT_FALSE(detail::is_of_another_user(ends.first.get()));
      EXPECT_FALSE(has_unread(ends.first.get()));
      ASSERT_EQ(send_message(ends.second.get(), bytes(size)), std::error_code());
      if (is_closed) ends.second.reset();
      EXPECT_TRUE(has_unread(ends.first.get())) << size;
      bytes room(8);
      EXPECT_TRUE(receive_message(ends.first.get(), room).has_value());
      EXPECT_FALSE(has_unread(ends.first.get())) << size;
    }
  }
}

TEST(socket, closes_each_descriptor_that_came_once) {
  const socket_pair ends = make_socket_pair().value();
  std::array<int, 2> pipe_ends{};
  ASSERT_EQ(::pipe2(pipe_ends.data(), O_CLOEXEC), 0);
  const unique_fd from(pipe_ends[0]);
  unique_fd to(pipe_ends[1]);
  const std::vector<int> many(message_fds_limit, to.get());
  ASSERT_EQ(send_message(ends.first.get(), bytes(1), many), std::error_code());
  EXPECT_EQ(send_message(ends.first.get(), bytes(1), std::vector<int>(254, to.get())),
            errno_code(EINVAL));
  to.reset();
  {
    bytes room(1);
    const result<message> got = receive_message(ends.second.get(), room, false, 3);
    ASSERT_TRUE(got.has_value());
    EXPECT_TRUE(got->is_cut);
    EXPECT_EQ(got->fd_count, 3U);
  }
  // The last of them was closed somewhere.
  pollfd hung_up{.fd = from.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&hung_up, 1, 120'000), 1);
  EXPECT_NE(hung_up.revents & POLLHUP, 0);
}

// A process that shares a socket may have the kernel put more beside what arrives there.
TEST(socket, regress_keeps_no_descriptor_that_the_kernel_adds_and_loses_none_that_was_sent) {
  constexpr int pass_pidfd = 76;  // SO_PASSPIDFD, since Linux 6.5
  const socket_pair ends = make_socket_pair().value();
  const int on = 1;
  const int there = ends.second.get();
  const bool adds = ::setsockopt(there, SOL_SOCKET, pass_pidfd, &on, sizeof on) == 0;
  ASSERT_EQ(::setsockopt(there, SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
  ASSERT_EQ(::setsockopt(there, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on), 0);
  static_cast<void>(::setsockopt(there, SOL_SOCKET, SO_PASSSEC, &on, sizeof on));
  const unique_fd first_free(::fcntl(there, F_DUPFD_CLOEXEC, 0));
  for (const bool peek : {true, false}) {
    bytes room(1);
    std::vector<unique_fd> fds(message_fds_limit);
    const std::vector<int> many(message_fds_limit, there);
    if (peek) {
      ASSERT_EQ(send_message(ends.first.get(), bytes(1), many), std::error_code());
    }
    const result<arrival> got = receive_message(there, room, fds, peek);
    ASSERT_TRUE(got.has_value());
    EXPECT_EQ(got->fd_count, message_fds_limit);
    EXPECT_FALSE(got->are_fds_cut);
    EXPECT_TRUE(got->sender.has_value());
  }
  for (int i = 0; i < 10; ++i) {
    bytes room(1);
    ASSERT_EQ(send_message(ends.first.get(), bytes(1), {&there, 1}), std::error_code());
    EXPECT_TRUE(receive_message(there, room, true, 1).has_value());
    EXPECT_TRUE(receive_message(there, room, false, 1).has_value());
  }
  const unique_fd next_free(::fcntl(there, F_DUPFD_CLOEXEC, 0));
  EXPECT_EQ(next_free.get(), first_free.get() + 1);
  if (!adds) GTEST_SKIP() << "the kernel adds none";
}

TEST(peer, other_end_is_open_until_it_is_closed_whatever_is_shut_down) {
  socket_pair ends = make_socket_pair().value();
  const int fd = ends.first.get();
  if (detail::state_of_other_end(fd) == detail::peer_state::unknown) {
    GTEST_SKIP() << "the kernel does not list sockets here";
  }
  EXPECT_EQ(detail::state_of_other_end(fd), detail::peer_state::open);
  ASSERT_EQ(::shutdown(fd, SHUT_RDWR), 0);
  ASSERT_EQ(::shutdown(ends.second.get(), SHUT_RDWR), 0);
  EXPECT_EQ(detail::state_of_other_end(fd), detail::peer_state::open);
  unique_fd duplicate(::fcntl(ends.second.get(), F_DUPFD_CLOEXEC, 0));
  ends.second.reset();
  EXPECT_EQ(detail::state_of_other_end(fd), detail::peer_state::open);
  ::close(::dup(duplicate.get()));
  EXPECT_EQ(detail::state_of_other_end(fd), detail::peer_state::open);
  duplicate.reset();
  EXPECT_EQ(detail::state_of_other_end(fd), detail::peer_state::closed);
  EXPECT_EQ(detail::state_of_maker(fd), detail::peer_state::open) << "this process";
}

}  // namespace
}  // namespace ufence
