#include "tools/ufence/reader/fd_message.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <span>
#include <vector>

namespace ufence::tool {
namespace {

std::span<const std::byte> bytes(const int& number) { return std::as_bytes(std::span(&number, 1)); }
std::span<std::byte> room(int& number) { return std::as_writable_bytes(std::span(&number, 1)); }

TEST(fd_message, arrives_whole_with_its_descriptors) {
  auto ends = message_sockets();
  ASSERT_TRUE(ends);
  int number = 0;
  EXPECT_EQ(receive_message(ends->first.get(), room(number)).error(), errno_code(EAGAIN));
  const unique_fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const std::vector<int> fds(message_fds_max, null.get());
  ASSERT_FALSE(send_message(ends->second.get(), bytes(42), fds));
  ASSERT_FALSE(send_message(ends->second.get(), bytes(43)));
  const auto first = receive_message(ends->first.get(), room(number));
  ASSERT_TRUE(first);
  EXPECT_EQ(number, 42);
  EXPECT_EQ(first->fd_count, message_fds_max);
  EXPECT_FALSE(first->is_cut);
  for (const unique_fd& fd : first->fds) EXPECT_EQ(::fcntl(fd.get(), F_GETFD), FD_CLOEXEC);
  const auto second = receive_message(ends->first.get(), room(number));
  ASSERT_TRUE(second);
  EXPECT_EQ(number, 43);
  EXPECT_EQ(second->fd_count, 0U);
}

TEST(fd_message, tells_what_did_not_fit) {
  auto ends = message_sockets();
  ASSERT_TRUE(ends);
  const std::array<int, 2> numbers{1, 2};
  ASSERT_FALSE(send_message(ends->first.get(), std::as_bytes(std::span(numbers))));
  int number = 0;
  EXPECT_TRUE(receive_message(ends->second.get(), room(number))->is_cut);
  const std::vector<int> many(message_fds_max + 1, 0);
  EXPECT_EQ(send_message(ends->first.get(), bytes(1), many), errno_code(EINVAL));
}

TEST(fd_message, tells_of_the_other_ends_end) {
  auto ends = message_sockets();
  ASSERT_TRUE(ends);
  int number = 0;
  ASSERT_FALSE(send_message(ends->first.get(), bytes(42)));
  ends->first.reset();
  ASSERT_TRUE(receive_message(ends->second.get(), room(number)));
  EXPECT_EQ(number, 42);
  EXPECT_EQ(receive_message(ends->second.get(), room(number))->size, 0U);
  EXPECT_EQ(send_message(ends->second.get(), bytes(1)), errno_code(EPIPE));
}

}  // namespace
}  // namespace ufence::tool
