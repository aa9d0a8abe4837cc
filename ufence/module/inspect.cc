#include "ufence/module/inspect.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "ufence/module/module_file.h"

namespace ufence {
namespace detail {
namespace {

void refuse(module_info& info, int error, std::string text) {
  info.error = error;
  info.problems.push_back(std::move(text));
}

void refuse_errno(module_info& info, int error) {
  refuse(info, error, std::generic_category().message(error));
}

// Opening some special files blocks or does something: only regular ones are opened.
bool is_regular(const struct stat& file, module_info& info) {
  if (S_ISREG(file.st_mode)) return true;
  refuse(info, ENOEXEC, S_ISDIR(file.st_mode) ? "a directory" : "not a regular file");
  return false;
}

}  // namespace

module_file open_module(const std::string& path) {
  module_file opened;
  module_info& info = opened.info;
  info.path = path;
  struct stat file {};
  if (::stat(path.c_str(), &file) != 0) return refuse_errno(info, errno), std::move(opened);
  if (!is_regular(file, info)) return opened;
  opened.fd.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!opened.fd || ::fstat(opened.fd.get(), &file) != 0) {
    return refuse_errno(info, errno), std::move(opened);
  }
  if (!is_regular(file, info)) return opened;
  opened.id = {.device = file.st_dev, .inode = file.st_ino};
  fd_source source(opened.fd.get(), static_cast<std::uint64_t>(file.st_size));
  check_elf(source, info, &opened.layout);
  return opened;
}

}  // namespace detail

module_info inspect(const std::string& path) { return detail::open_module(path).info; }

}  // namespace ufence
