#include "tools/net/job/below.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace ufence::tool {

result<unique_fd> open_below(int folder, const std::string& path) {
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  unique_fd fd(static_cast<int>(::syscall(SYS_openat2, folder, path.c_str(), &how, sizeof how)));
  if (!fd) return failure(errno);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return failure(errno);
  if (!S_ISREG(status.st_mode)) return failure(EOPNOTSUPP);
  return fd;
}

}  // namespace ufence::tool
