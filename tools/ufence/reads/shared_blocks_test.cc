#include "tools/ufence/reads/shared_blocks.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

namespace ufence::tool {
namespace {

TEST(shared_blocks, are_the_same_in_two_maps_and_do_not_overlap) {
  for (const std::uint64_t block_bytes : {1UL, 63UL, 64UL, 1000UL, 4096UL, 5000UL}) {
    auto made = shared_blocks::make(7, block_bytes);
    ASSERT_TRUE(made);
    auto mapped = shared_blocks::map(unique_fd(::dup(made->fd())), 7, block_bytes);
    ASSERT_TRUE(mapped);
    for (std::size_t i = 0; i < 7; ++i) {
      std::memset(made->buffer(i), static_cast<int>(i + 1), block_bytes);
      *made->bytes_read(i) = 100 + i;
    }
    for (std::size_t i = 0; i < 7; ++i) {
      EXPECT_EQ(*mapped->bytes_read(i), 100 + i);
      EXPECT_EQ(mapped->buffer(i)[0], std::byte(i + 1));
      EXPECT_EQ(mapped->buffer(i)[block_bytes - 1], std::byte(i + 1));
    }
  }
}

TEST(shared_blocks, keep_their_size) {
  auto made = shared_blocks::make(2, 4096);
  ASSERT_TRUE(made);
  EXPECT_NE(::ftruncate(made->fd(), 0), 0);
  EXPECT_EQ(errno, EPERM);
  const shared_blocks moved = *std::move(made);
  moved.buffer(1)[4095] = std::byte{1};
}

TEST(shared_blocks, regress_beyond_the_limit_of_file_sizes_are_an_error) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{.rlim_cur = 4096, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto made = shared_blocks::make(7, 4096);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error(), errno_code(EFBIG));
}

TEST(shared_blocks, refuse_memory_that_may_vanish) {
  const unique_fd loose(::memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(loose.get(), 1 << 20), 0);
  EXPECT_EQ(shared_blocks::map(unique_fd(::dup(loose.get())), 2, 4096).error(), errno_code(EINVAL));
  auto made = shared_blocks::make(2, 4096);
  ASSERT_TRUE(made);
  EXPECT_EQ(shared_blocks::map(unique_fd(::dup(made->fd())), 3, 4096).error(), errno_code(EINVAL));
  const unique_fd other(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_EQ(shared_blocks::map(unique_fd(::dup(other.get())), 2, 4096).error(), errno_code(EINVAL));
}

}  // namespace
}  // namespace ufence::tool
