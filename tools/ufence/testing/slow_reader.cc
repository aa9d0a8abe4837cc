// A stand-in for the module `uring`, for tests: it takes the same jobs and completes them in any
// order, late, and with errors where it is told to. The environment says how:
//
//   UFENCE_TEST_SEED     of the order
//   UFENCE_TEST_FAIL_AT  a read of the byte at this offset of its file ends with -EIO
//   UFENCE_TEST_HANG_AT  this job of each instance hangs: it ends when it is cancelled, or the
//   module stops
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <random>
#include <utility>
#include <vector>

#include "drivers/uring/uring.h"
#include "ufence/driver.hpp"

namespace {

using ufence::driver::args_of;
using ufence::driver::job;
using ufence::driver::services;

std::uint64_t number(const char* variable, std::uint64_t otherwise) {
  const char* const text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

class slow_reader {
 public:
  explicit slow_reader(services host)
      : host_(host),
        random_(number("UFENCE_TEST_SEED", 1)),
        fail_at_(number("UFENCE_TEST_FAIL_AT", UINT64_MAX)),
        hang_at_(number("UFENCE_TEST_HANG_AT", UINT64_MAX)) {}

  int start() { return host_.start_thread<&slow_reader::work>("slow-reader", *this); }

  int submit(job& j) {
    const std::scoped_lock lock(mutex_);
    if (is_stopping_) return -ESHUTDOWN;
    if (++submitted_ == hang_at_) {
      hanging_ = &j;
      return 0;
    }
    waiting_.push_back(&j);
    changed_.notify_one();
    return 0;
  }

  void cancel(job& j) {
    {
      const std::scoped_lock lock(mutex_);
      if (hanging_ == &j) {
        hanging_ = nullptr;
      } else if (std::erase(waiting_, &j) == 0) {
        return;
      }
    }
    host_.signal(j, -ECANCELED);
  }

  void stop() {
    std::unique_lock lock(mutex_);
    is_stopping_ = true;
    changed_.notify_one();
    ended_.wait(lock, [this] { return has_ended_; });
  }

 private:
  void work() noexcept {
    std::unique_lock lock(mutex_);
    while (!is_stopping_) {
      // More of them to choose from, if more come.
      changed_.wait_for(lock, std::chrono::microseconds(500),
                        [this] { return is_stopping_ || waiting_.size() >= 8; });
      if (waiting_.empty()) continue;
      std::swap(waiting_[random_() % waiting_.size()], waiting_.back());
      job* const chosen = waiting_.back();
      waiting_.pop_back();
      lock.unlock();
      host_.signal(*chosen, run(*chosen));
      lock.lock();
    }
    std::vector<job*> left = std::exchange(waiting_, {});
    if (hanging_ != nullptr) left.push_back(std::exchange(hanging_, nullptr));
    lock.unlock();
    for (job* const j : left) host_.signal(*j, -ECANCELED);
    lock.lock();
    has_ended_ = true;
    ended_.notify_one();
  }

  int run(job& j) const {
    if (j.opcode == UFENCE_URING_READ_FILE) return read_file(*args_of<ufence_uring_read_file>(j));
    const ufence_uring_read& args = *args_of<ufence_uring_read>(j);
    return read(args.fd, args.buffer, args.size, args.offset, *args.bytes_read);
  }

  int read_file(const ufence_uring_read_file& args) const {
    const int fd = ::openat(args.dirfd, args.path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    struct stat status {};
    ::fstat(fd, &status);
    std::uint64_t done = 0;
    const int error = read(fd, args.buffer, args.size, 0, done);
    const bool is_at_end = error == 0 && done < args.size;
    const bool keeps = error == 0 && !is_at_end;
    if (!keeps) ::close(fd);
    *args.file = {.bytes_read = done,
                  .file_size = static_cast<std::uint64_t>(status.st_size),
                  .fd = keeps ? fd : -1,
                  .at_end = is_at_end ? 1U : 0U};
    return error;
  }

  int read(int fd, void* buffer, std::uint64_t size, std::uint64_t offset,
           std::uint64_t& done) const {
    std::uint64_t got = 0;
    while (got < size) {
      const ssize_t n = ::pread(fd, static_cast<std::byte*>(buffer) + got, size - got,
                                static_cast<off_t>(offset + got));
      if (n < 0) return -errno;
      if (n == 0) break;
      got += static_cast<std::uint64_t>(n);
    }
    if (offset <= fail_at_ && fail_at_ < offset + got) return -EIO;
    done = got;
    return 0;
  }

  const services host_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_, ended_;
  std::vector<job*> waiting_;
  job* hanging_ = nullptr;
  std::uint64_t submitted_ = 0;
  bool is_stopping_ = false;
  bool has_ended_ = false;
  std::mt19937_64 random_;
  const std::uint64_t fail_at_;
  const std::uint64_t hang_at_;
};

}  // namespace

UFENCE_CPP_DRIVER(slow_reader, "uring", "read", "reads late and in any order, for tests");
