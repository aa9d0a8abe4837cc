// A sandbox as a test needs it: one system call fails from now on, in a child of fork().
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include <array>
#include <cstddef>

namespace ufence::testing {

/// From now on `number` (SYS_...) fails with this errno, for the calling thread and those that it
/// starts. There is no way back: for the body of in_child().
/// @return  false: the system has no such filters
[[nodiscard]] inline bool refuse_call(long number, int error) {
  const auto call = static_cast<unsigned>(number);
  const auto answer = SECCOMP_RET_ERRNO | static_cast<unsigned>(error);
  std::array<sock_filter, 4> filter{
      sock_filter{
          .code = BPF_LD | BPF_W | BPF_ABS, .jt = 0, .jf = 0, .k = offsetof(seccomp_data, nr)},
      sock_filter{.code = BPF_JMP | BPF_JEQ | BPF_K, .jt = 0, .jf = 1, .k = call},
      sock_filter{.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = answer},
      sock_filter{.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = SECCOMP_RET_ALLOW}};
  const sock_fprog program{.len = filter.size(), .filter = filter.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

}  // namespace ufence::testing
