// Where the kernel refuses io_uring: a filter makes it refuse, in a process of its own.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "drivers/testing/driver_test.h"
#include "drivers/uring/uring.h"

namespace ufence::drivers {
namespace {

// From now on a system call fails with an errno, in this thread and those that it starts.
bool refuse(std::uint32_t system_call, std::uint32_t errno_value) {
  std::array<sock_filter, 4> rules = {
      sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, system_call, 0, 1),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | errno_value),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{.len = rules.size(), .filter = rules.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

class uring_refused : public driver_test {
 protected:
  uring_refused() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }

  // Ends the process with 0 if files are read all the same, and the host was told why how.
  [[noreturn]] void read_without(std::uint32_t system_call, std::uint32_t errno_value,
                                 std::string_view name) {
    if (!refuse(system_call, errno_value)) std::exit(2);
    device_ref d = load("uring");
    std::string buffer(100'000, '?');
    ufence_uring_file file{};
    const ufence_uring_read_file args{.path = "/proc/self/status",
                                      .dirfd = AT_FDCWD,
                                      .flags = 0,
                                      .buffer = buffer.data(),
                                      .size = buffer.size(),
                                      .file = &file};
    if (run(d, UFENCE_URING_READ_FILE, args) != 0) std::exit(3);
    if (!buffer.starts_with("Name:")) std::exit(4);
    const ufence_uring_configure ring{UFENCE_URING_RING, 0};
    if (run(d, UFENCE_URING_CONFIGURE, ring) != -EOPNOTSUPP) std::exit(5);
    ufence_uring_counters counters{};
    if (run(d, UFENCE_URING_QUERY, ufence_uring_query{&counters}) != 0) std::exit(6);
    if (counters.backend != UFENCE_URING_THREADS || counters.threads < 1) std::exit(7);
    if (!reports_.has({"uring", "io_uring is refused", name})) std::exit(8);
    unload(d);
    std::exit(HasFailure() ? 9 : 0);
  }
};

TEST_F(uring_refused, reads_with_threads_and_says_so) {
  EXPECT_EXIT(read_without(__NR_io_uring_setup, EPERM, "EPERM"), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(read_without(__NR_io_uring_setup, ENOSYS, "ENOSYS"), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(read_without(__NR_io_uring_setup, ENOMEM, "ENOMEM"), testing::ExitedWithCode(0), "");
}

TEST_F(uring_refused, notices_that_only_the_setup_is_allowed) {
  EXPECT_EXIT(read_without(__NR_io_uring_enter, EPERM, "EPERM"), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace ufence::drivers
