// What the hosts of a job say to each other, and where a worker reads.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

#include "tools/net/job/below.h"
#include "tools/net/job/blocks.h"
#include "tools/net/job/wire.h"

namespace ufence::tool {
namespace {

const work_item item{
    .run = 1, .number = 2, .attempt = 3, .is_sent = true, .root = "/a", .path = "b\n\xff/c"};
const work_result outcome{.run = 1,
                          .number = 2,
                          .attempt = 3,
                          .point = "p",
                          .error = -5,
                          .bytes = 7,
                          .digest = std::string(32, 'd')};

TEST(job_wire, messages_come_as_they_were_sent) {
  const auto one = parse_item(to_bytes(item));
  ASSERT_TRUE(one);
  EXPECT_EQ(one->run, 1U);
  EXPECT_EQ(one->number, 2U);
  EXPECT_EQ(one->attempt, 3U);
  EXPECT_TRUE(one->is_sent);
  EXPECT_EQ(one->root, "/a");
  EXPECT_EQ(one->path, "b\n\xff/c");
  const auto claim = parse_claim(to_bytes(
      work_claim{.run = 1, .number = 2, .attempt = 3, .point = "p", .host = "h", .blocks = 9}));
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->host, "h");
  EXPECT_EQ(claim->blocks, 9U);
  const auto said = parse_result(to_bytes(outcome));
  ASSERT_TRUE(said);
  EXPECT_EQ(said->error, -5);
  EXPECT_EQ(said->bytes, 7U);
  EXPECT_EQ(said->digest, outcome.digest);
  for (const verdict v : {verdict::yes, verdict::no, verdict::fenced}) {
    EXPECT_EQ(parse_verdict(to_bytes(v)), v);
  }
}

TEST(job_wire, what_is_short_long_or_of_another_kind_is_refused) {
  const std::string whole = to_bytes(item);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(parse_item(std::string_view(whole).substr(0, size))) << size;
  }
  EXPECT_FALSE(parse_item(whole + "x"));
  EXPECT_FALSE(parse_claim(whole));
  EXPECT_FALSE(parse_result(whole));
  EXPECT_FALSE(parse_verdict(whole));
  EXPECT_FALSE(parse_verdict(to_bytes(static_cast<verdict>(4))));
  // A text that says it is longer than all that is there.
  std::string lie = whole;
  lie.replace(40, 8, 8, '\xff');
  EXPECT_FALSE(parse_item(lie));
}

TEST(job_wire, what_makes_no_sense_is_refused) {
  work_item relative = item;
  relative.root = "a";
  EXPECT_FALSE(parse_item(to_bytes(relative)));
  work_item zero = item;
  zero.path = std::string("a\0b", 3);
  EXPECT_FALSE(parse_item(to_bytes(zero)));
  work_result wrong = outcome;
  wrong.error = 5;
  EXPECT_FALSE(parse_result(to_bytes(wrong)));
  wrong = outcome;
  wrong.digest.pop_back();
  EXPECT_FALSE(parse_result(to_bytes(wrong)));
}

TEST(job_blocks, come_in_order_and_those_that_come_twice_are_left_out) {
  block_order order;
  std::array<std::byte, 8> to{};
  EXPECT_EQ(**order.take(block_message(1, 0, "abc"), 1, to), 3U);
  EXPECT_EQ(to[2], std::byte{'c'});
  EXPECT_FALSE(*order.take(block_message(1, 0, "abc"), 1, to));
  EXPECT_EQ(**order.take(block_message(1, 3, "de"), 1, to), 2U);
  EXPECT_EQ(**order.take(block_message(1, 5, ""), 1, to), 0U);
}

TEST(job_blocks, that_are_missing_foreign_or_no_blocks_are_told) {
  block_order order;
  std::array<std::byte, 8> to{};
  EXPECT_EQ(order.take(block_message(1, 3, "de"), 1, to).error(), errno_code(ESTALE));
  EXPECT_EQ(order.take(block_message(2, 0, "de"), 1, to).error(), errno_code(ESTALE));
  EXPECT_EQ(order.take("short", 1, to).error(), errno_code(EPROTO));
  EXPECT_EQ(order.take(block_message(1, 0, "nine bytes"), 1, to).error(), errno_code(EPROTO));
  EXPECT_EQ(order.take(block_message(1, 0, "", -EACCES), 1, to).error(), errno_code(EACCES));
}

TEST(job_folder, has_what_lies_in_it_and_nothing_else) {
  std::string path = (std::filesystem::temp_directory_path() / "ufence-job-XXXXXX").string();
  ASSERT_NE(::mkdtemp(path.data()), nullptr);
  std::filesystem::create_directories(path + "/in/deep");
  std::ofstream(path + "/outside") << "secret";
  std::ofstream(path + "/in/deep/file") << "told";
  std::filesystem::create_symlink("../outside", path + "/in/link");
  std::filesystem::create_symlink("deep", path + "/in/way");
  ASSERT_EQ(::mkfifo((path + "/in/fifo").c_str(), 0600), 0);
  {
    const unique_fd in(::open((path + "/in").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    EXPECT_TRUE(open_below(in.get(), "deep/file"));
    EXPECT_EQ(open_below(in.get(), "../outside").error(), errno_code(EXDEV));
    EXPECT_EQ(open_below(in.get(), "deep/../../outside").error(), errno_code(EXDEV));
    EXPECT_EQ(open_below(in.get(), path + "/outside").error(), errno_code(EXDEV));
    EXPECT_EQ(open_below(in.get(), "link").error(), errno_code(ELOOP));
    EXPECT_EQ(open_below(in.get(), "way/file").error(), errno_code(ELOOP));
    EXPECT_EQ(open_below(in.get(), "deep").error(), errno_code(EOPNOTSUPP));
    EXPECT_EQ(open_below(in.get(), "fifo").error(), errno_code(EOPNOTSUPP));
    EXPECT_EQ(open_below(in.get(), "nothing").error(), errno_code(ENOENT));
  }
  std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace ufence::tool
