#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "drivers/testing/driver_test.h"
#include "drivers/uring/uring.h"
#include "ufence/base/fd.h"
#include "ufence/fence/wait.h"

namespace ufence::drivers {
namespace {

using testing::AnyOf;

std::string pattern(std::size_t size, unsigned seed = 1) {
  std::string s(size, '\0');
  for (char& c : s) c = static_cast<char>((seed = seed * 1103515245u + 12345u) >> 16);
  return s;
}

// Each test runs with the ring, if the kernel has it, and with threads.
class uring : public driver_test, public testing::WithParamInterface<ufence_uring_backend> {
 protected:
  uring() {
    std::string folder = testing::TempDir() + "ufence-uring-XXXXXX";
    if (::mkdtemp(folder.data()) == nullptr) ADD_FAILURE() << "mkdtemp";
    folder_ = folder;
  }
  ~uring() override { std::filesystem::remove_all(folder_); }

  void SetUp() override {
    d = load("uring");
    ASSERT_NE(d, nullptr);
    const int error = choose(GetParam());
    if (GetParam() == UFENCE_URING_RING && error == -EOPNOTSUPP) {
      GTEST_SKIP() << "the kernel refuses io_uring";
    }
    ASSERT_EQ(error, 0);
  }

  int choose(ufence_uring_backend backend, std::uint32_t threads = 0) const {
    const ufence_uring_configure c{static_cast<std::uint32_t>(backend), threads};
    return run(d, UFENCE_URING_CONFIGURE, c);
  }
  ufence_uring_counters counters() const {
    ufence_uring_counters c{};
    EXPECT_EQ(run(d, UFENCE_URING_QUERY, ufence_uring_query{&c}), 0);
    return c;
  }

  std::string write_file(const std::string& name, std::string_view content) const {
    const std::string path = folder_ / name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  static unique_fd open_file(const std::string& path) {
    return unique_fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  }

  // A read of an open file: its buffer and its result.
  struct reading {
    explicit reading(std::size_t size) : buffer(size, '?') {}
    std::string buffer;
    std::uint64_t bytes = 0;

    ufence_uring_read args(int fd, std::uint64_t offset) {
      return {.fd = fd,
              .flags = 0,
              .offset = offset,
              .buffer = buffer.data(),
              .size = buffer.size(),
              .bytes_read = &bytes};
    }
    std::string_view got() const { return std::string_view(buffer).substr(0, bytes); }
  };
  // A file to read.
  struct file_reading {
    file_reading(std::string p, std::size_t size) : path(std::move(p)), buffer(size, '?') {}
    std::string path;
    std::string buffer;
    ufence_uring_file file{};

    ufence_uring_read_file args(std::uint32_t flags = 0) {
      return {.path = path.c_str(),
              .dirfd = AT_FDCWD,
              .flags = flags,
              .buffer = buffer.data(),
              .size = buffer.size(),
              .file = &file};
    }
    std::string_view got() const { return std::string_view(buffer).substr(0, file.bytes_read); }
  };
  int read(int fd, std::uint64_t offset, reading& r) const {
    return run(d, UFENCE_URING_READ, r.args(fd, offset));
  }
  int read(file_reading& r, std::uint32_t flags = 0) const {
    return run(d, UFENCE_URING_READ_FILE, r.args(flags));
  }

  device_ref d;
  std::filesystem::path folder_;
};

TEST_P(uring, reads_what_is_there) {
  const std::string content = pattern(10'000);
  const unique_fd fd = open_file(write_file("a", content));
  reading all(content.size());
  EXPECT_EQ(read(fd.get(), 0, all), 0);
  EXPECT_EQ(all.got(), content);
  reading middle(100);
  EXPECT_EQ(read(fd.get(), 5000, middle), 0);
  EXPECT_EQ(middle.got(), std::string_view(content).substr(5000, 100));
  reading past_end(1000);
  EXPECT_EQ(read(fd.get(), 9500, past_end), 0);
  EXPECT_EQ(past_end.got(), std::string_view(content).substr(9500));
  reading beyond(10);
  EXPECT_EQ(read(fd.get(), 20'000, beyond), 0);
  EXPECT_EQ(beyond.bytes, 0u);
  reading nothing(0);
  nothing.bytes = 7;
  EXPECT_EQ(read(fd.get(), 0, nothing), 0);
  EXPECT_EQ(nothing.bytes, 0u);
  EXPECT_EQ(counters().backend, static_cast<std::uint32_t>(GetParam()));
  EXPECT_EQ(counters().reads, 5u);
  EXPECT_EQ(counters().bytes, content.size() + 100 + 500);
}

TEST_P(uring, tells_errors_as_the_jobs) {
  reading r(10);
  EXPECT_EQ(read(-1, 0, r), -EBADF);
  const unique_fd folder = open_file(folder_);
  EXPECT_EQ(read(folder.get(), 0, r), -EISDIR);
  EXPECT_EQ(counters().failed, 2u);
  ufence_uring_read args = r.args(folder.get(), 0);
  args.flags = 1;
  EXPECT_EQ(run(d, UFENCE_URING_READ, args), -EINVAL);
  args = r.args(folder.get(), 0);
  args.bytes_read = nullptr;
  EXPECT_EQ(run(d, UFENCE_URING_READ, args), -EINVAL);
  args = r.args(folder.get(), 0);
  args.buffer = nullptr;
  EXPECT_EQ(run(d, UFENCE_URING_READ, args), -EINVAL);
  EXPECT_EQ(run(d, UFENCE_URING_READ, 1), -EINVAL);
  EXPECT_EQ(run(d, UFENCE_URING_READ_FILE, 1), -EINVAL);
  EXPECT_EQ(run(d, 99), -EINVAL);
  EXPECT_THAT(reports_.texts(), testing::IsEmpty());
}

TEST_P(uring, reads_whole_files) {
  for (const std::size_t size : {0u, 1u, 4095u, 4096u, 4097u, 100'000u}) {
    const std::string content = pattern(size, 7);
    file_reading r(write_file("f", content), 100'000);
    EXPECT_EQ(read(r), 0);
    EXPECT_EQ(r.got(), content);
    EXPECT_EQ(r.file.file_size, size);
    EXPECT_EQ(r.file.fd, -1);
    EXPECT_EQ(r.file.at_end, 1u) << size;
  }
  EXPECT_EQ(counters().files, 6u);
}

TEST_P(uring, keeps_a_file_open_that_it_did_not_read_to_the_end) {
  const std::string content = pattern(5000);
  file_reading first(write_file("f", content), 3000);
  ASSERT_EQ(read(first, UFENCE_URING_KEEP_OPEN), 0);
  EXPECT_EQ(first.file.at_end, 0u);
  EXPECT_EQ(first.file.file_size, content.size());
  const unique_fd fd(first.file.fd);
  ASSERT_GE(fd.get(), 0);
  EXPECT_EQ(::fcntl(fd.get(), F_GETFL) & O_NONBLOCK, 0);
  reading rest(3000);
  EXPECT_EQ(read(fd.get(), first.file.bytes_read, rest), 0);
  EXPECT_EQ(std::string(first.got()).append(rest.got()), content);
  // Without the flag it is closed, as the test main would notice.
  file_reading closed(first.path, 3000);
  EXPECT_EQ(read(closed), 0);
  EXPECT_EQ(closed.file.fd, -1);
  EXPECT_EQ(closed.file.at_end, 0u);
}

TEST_P(uring, reads_files_that_do_not_know_their_size) {
  file_reading r("/proc/self/status", 100'000);
  EXPECT_EQ(read(r), 0);
  EXPECT_EQ(r.file.file_size, 0u);
  EXPECT_EQ(r.file.at_end, 1u);
  EXPECT_THAT(std::string(r.got()), testing::HasSubstr("Threads:"));
}

TEST_P(uring, opens_regular_files_only) {
  file_reading missing(folder_ / "missing", 10);
  EXPECT_EQ(read(missing), -ENOENT);
  file_reading folder(folder_, 10);
  EXPECT_EQ(read(folder), -EISDIR);
  const std::string fifo = folder_ / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  file_reading pipe(fifo, 10);
  EXPECT_EQ(read(pipe), -EOPNOTSUPP);
  file_reading device("/dev/null", 10);
  EXPECT_EQ(read(device), -EOPNOTSUPP);
  const std::string link = folder_ / "link";
  std::filesystem::create_symlink(write_file("target", "abc"), link);
  file_reading through(link, 10);
  EXPECT_EQ(read(through), 0);
  EXPECT_EQ(through.got(), "abc");
  EXPECT_EQ(read(through, UFENCE_URING_NOFOLLOW), -ELOOP);
}

TEST_P(uring, reads_relative_to_a_folder) {
  write_file("x", "abc");
  const unique_fd folder = open_file(folder_);
  file_reading r("x", 10);
  ufence_uring_read_file args = r.args();
  args.dirfd = folder.get();
  EXPECT_EQ(run(d, UFENCE_URING_READ_FILE, args), 0);
  EXPECT_EQ(r.got(), "abc");
}

TEST_P(uring, reads_many_small_files) {
  constexpr std::size_t n = 2000;
  std::vector<file_reading> files;
  std::vector<std::string> contents;
  for (std::size_t i = 0; i < n; ++i) {
    contents.push_back(pattern(i * 7 % 5000, static_cast<unsigned>(i)));
    files.emplace_back(write_file(std::to_string(i), contents.back()), 8192);
  }
  std::vector<fence_ref> fences;
  for (file_reading& f : files) fences.push_back(give(d, UFENCE_URING_READ_FILE, f.args()));
  ASSERT_FALSE(wait_all(fences, patience()));
  for (std::size_t i = 0; i < n; ++i) {
    EXPECT_EQ(fences[i]->error(), 0);
    EXPECT_EQ(files[i].got(), contents[i]) << i;
  }
  const ufence_uring_counters c = counters();
  EXPECT_EQ(c.files, n);
  if (GetParam() == UFENCE_URING_RING) {
    // Opened and read by requests, with far fewer system calls.
    EXPECT_GE(c.ring_requests, 2 * n - 1);
    EXPECT_LT(c.ring_enters, n);
  } else {
    EXPECT_EQ(c.ring_requests, 0u);
  }
}

TEST_P(uring, reads_a_stream_until_it_is_full_or_ends) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const unique_fd out(ends[0]);
  unique_fd in(ends[1]);
  reading r(6);
  fence_ref f = give(d, UFENCE_URING_READ, r.args(out.get(), UFENCE_URING_STREAM));
  ASSERT_EQ(::write(in.get(), "abc", 3), 3);
  ASSERT_EQ(::write(in.get(), "defg", 4), 4);
  EXPECT_EQ(result_of(f), 0);
  EXPECT_EQ(r.got(), "abcdef");
  fence_ref at_end = give(d, UFENCE_URING_READ, r.args(out.get(), UFENCE_URING_STREAM));
  EXPECT_EQ(at_end->status(), 0);
  in.reset();
  EXPECT_EQ(result_of(at_end), 0);
  EXPECT_EQ(r.got(), "g");
}

TEST_P(uring, reads_files_while_a_stream_is_silent) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const unique_fd out(ends[0]);
  unique_fd in(ends[1]);
  reading silent(1);
  fence_ref f = give(d, UFENCE_URING_READ, silent.args(out.get(), UFENCE_URING_STREAM));
  file_reading r(write_file("f", "abc"), 10);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(read(r), 0);
  EXPECT_EQ(f->status(), 0);
  in.reset();
  EXPECT_EQ(result_of(f), 0);
  EXPECT_EQ(silent.bytes, 0u);
}

TEST_P(uring, ends_reads_when_cancelled_and_touches_nothing_after) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const unique_fd out(ends[0]);
  const unique_fd in(ends[1]);
  std::vector<reading> readings(4, reading(8));
  std::vector<fence_ref> fences;
  for (reading& r : readings) {
    fences.push_back(give(d, UFENCE_URING_READ, r.args(out.get(), UFENCE_URING_STREAM)));
  }
  const unload_report done = unload(d, unload_policy::cancel);
  EXPECT_EQ(done.jobs_cancelled, fences.size());
  for (const fence_ref& f : fences) EXPECT_EQ(f->status(), -ECANCELED);
  // Nobody reads any more: what is written stays in the pipe.
  ASSERT_EQ(::write(in.get(), "abcdefgh", 8), 8);
  for (const reading& r : readings) EXPECT_EQ(r.buffer, "????????");
  std::array<char, 16> rest{};
  EXPECT_EQ(::read(out.get(), rest.data(), rest.size()), 8);
}

TEST_P(uring, drains_what_it_was_given_before_it_goes) {
  std::vector<file_reading> files;
  for (int i = 0; i < 300; ++i) files.emplace_back(write_file(std::to_string(i), "abc"), 16);
  std::vector<fence_ref> fences;
  for (file_reading& f : files) fences.push_back(give(d, UFENCE_URING_READ_FILE, f.args()));
  const unload_report done = unload(d, unload_policy::drain);
  EXPECT_EQ(done.jobs_cancelled, 0u);
  for (std::size_t i = 0; i < files.size(); ++i) {
    EXPECT_EQ(fences[i]->status(), 1);
    EXPECT_EQ(files[i].got(), "abc");
  }
}

// What a cancel hits ends either way; nothing is lost, no descriptor leaks (the test main looks).
TEST_P(uring, survives_reloads_under_load) {
  std::vector<std::string> paths;
  const std::string content = pattern(20'000);
  for (int i = 0; i < 50; ++i) paths.push_back(write_file(std::to_string(i), content));
  for (int round = 0; round < 20; ++round) {
    if (!d) {
      d = load("uring");
      ASSERT_EQ(choose(GetParam()), 0);
    }
    std::vector<file_reading> files;
    for (const std::string& path : paths) files.emplace_back(path, 16'384);
    std::vector<fence_ref> fences;
    for (file_reading& f : files) {
      fences.push_back(give(d, UFENCE_URING_READ_FILE, f.args(UFENCE_URING_KEEP_OPEN)));
    }
    unload(d, unload_policy::cancel);
    for (std::size_t i = 0; i < files.size(); ++i) {
      EXPECT_THAT(fences[i]->status(), AnyOf(1, -ECANCELED));
      if (fences[i]->status() != 1) continue;
      EXPECT_EQ(files[i].got(), std::string_view(content).substr(0, 16'384));
      EXPECT_GE(files[i].file.fd, 0);
      ::close(files[i].file.fd);
    }
  }
}

TEST_P(uring, says_how_it_can_be_configured) {
  EXPECT_EQ(run(d, UFENCE_URING_CONFIGURE, ufence_uring_configure{0, 0}), -EINVAL);
  EXPECT_EQ(choose(UFENCE_URING_THREADS, UFENCE_URING_THREADS_MAX + 1), -EINVAL);
  EXPECT_EQ(choose(UFENCE_URING_THREADS, 6), 0);
  EXPECT_EQ(counters().backend, static_cast<std::uint32_t>(UFENCE_URING_THREADS));
  EXPECT_EQ(counters().threads, 6u);
  EXPECT_EQ(choose(UFENCE_URING_RING), -EOPNOTSUPP);
}

// Jobs before and after, and one that waits while the ring is left.
TEST_P(uring, changes_to_threads_with_jobs_under_way) {
  std::vector<file_reading> files;
  for (int i = 0; i < 200; ++i) files.emplace_back(write_file(std::to_string(i), "abc"), 16);
  std::vector<fence_ref> fences;
  const ufence_uring_configure to_threads{UFENCE_URING_THREADS, 3};
  for (std::size_t i = 0; i < files.size(); ++i) {
    fences.push_back(give(d, UFENCE_URING_READ_FILE, files[i].args()));
    if (i == 100) fences.push_back(give(d, UFENCE_URING_CONFIGURE, to_threads));
  }
  ASSERT_FALSE(wait_all(fences, patience()));
  for (const fence_ref& f : fences) EXPECT_EQ(f->error(), 0);
  for (const file_reading& f : files) EXPECT_EQ(f.got(), "abc");
  EXPECT_EQ(counters().backend, static_cast<std::uint32_t>(UFENCE_URING_THREADS));
}

INSTANTIATE_TEST_SUITE_P(, uring, testing::Values(UFENCE_URING_RING, UFENCE_URING_THREADS),
                         [](const auto& backend) {
                           return backend.param == UFENCE_URING_RING ? "ring" : "threads";
                         });

}  // namespace
}  // namespace ufence::drivers
