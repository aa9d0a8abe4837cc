// close() and all else that closes. Closing the last duplicate of a device has its effects before
// the call returns, as in the kernel.
#include <linux/close_range.h>
#include <sys/resource.h>

#include "ufence/uapi/preload/broker_call.h"
#include "ufence/uapi/preload/descriptors.h"
#include "ufence/uapi/preload/next.h"
#include "ufence/uapi/preload/system.h"

namespace ufence::uapi {
namespace {

constinit next_function<int(int)> next_close("close");
constinit next_function<int(int, int)> next_dup2("dup2");
constinit next_function<int(int, int, int)> next_dup3("dup3");
constinit next_function<int(unsigned, unsigned, int)> next_close_range("close_range");
constinit next_function<void(int)> next_closefrom("closefrom");

void flush_by_name() noexcept {
  call_connection connection({.starts = false});
  flush(connection);
}

// `close` closes the descriptor, if it is one.
template <class Close>
int close_one(int fd, Close close) noexcept {
  if (device_of(fd) == device_kind::none) return close();
  const int before = errno;
  int after = before;
  int result = -1;
  {
    call_connection connection({.device = fd, .starts = false});
    errno = before;
    result = close();
    after = errno;
    if (connection.get() >= 0) {
      flush(connection);
      errno = after;
      return result;
    }
  }
  flush_by_name();
  errno = after;
  return result;
}

bool has_device(unsigned first, unsigned last) noexcept {
  rlimit limit{};
  if (::syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit) != 0) return false;
  for (rlim_t fd = first; fd <= last && fd < limit.rlim_cur; ++fd) {
    if (device_of(static_cast<int>(fd)) != device_kind::none) return true;
  }
  return false;
}

// A connection would be closed as well: one is made afterwards, to the broker that is found by its
// name.
template <class Close>
auto close_many(unsigned first, unsigned last, Close close) noexcept {
  struct flush_at_end {
    bool is_needed;
    ~flush_at_end() {
      if (!is_needed) return;
      const int before = errno;
      flush_by_name();
      errno = before;
    }
  };
  const int before = errno;
  const flush_at_end flush{.is_needed = has_device(first, last)};
  errno = before;
  return close();
}

}  // namespace
}  // namespace ufence::uapi

namespace uapi = ufence::uapi;

UFENCE_REPLACES int close(int fd) {
  return uapi::close_one(fd, [=] { return uapi::next_close.get()(fd); });
}
UFENCE_REPLACES int dup2(int from, int to) noexcept {
  if (from == to) return uapi::next_dup2.get()(from, to);
  return uapi::close_one(to, [=] { return uapi::next_dup2.get()(from, to); });
}
UFENCE_REPLACES int dup3(int from, int to, int flags) noexcept {
  if (from == to) return uapi::next_dup3.get()(from, to, flags);
  return uapi::close_one(to, [=] { return uapi::next_dup3.get()(from, to, flags); });
}
UFENCE_REPLACES int close_range(unsigned first, unsigned last, int flags) noexcept {
  const auto close = [=] { return uapi::next_close_range.get()(first, last, flags); };
  if ((static_cast<unsigned>(flags) & CLOSE_RANGE_CLOEXEC) != 0) return close();
  return uapi::close_many(first, last, close);
}
UFENCE_REPLACES void closefrom(int first) noexcept {
  uapi::close_many(first < 0 ? 0U : static_cast<unsigned>(first), ~0U,
                   [=] { uapi::next_closefrom.get()(first); });
}
