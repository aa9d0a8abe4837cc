#include "ufence/module/inspect.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "ufence/base/file_size.h"
#include "ufence/base/memory_file.h"
#include "ufence/module/checked_files.h"
#include "ufence/module/companions.h"
#include "ufence/module/library_file.h"
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

// Replaces the descriptor by one of memory with the same bytes, which nobody can change any more.
int copy_to_memory(unique_fd& fd, struct stat& file) {
  unique_fd memory(open_memory_file("ufence-module"));
  if (!memory) return errno;
  const no_file_size_signal quiet;
  for (off_t done = 0; done < file.st_size;) {
    constexpr std::size_t most = 1 << 30;
    const ssize_t moved = ::sendfile(memory.get(), fd.get(), &done, most);
    if (moved < 0) return errno;
    if (moved == 0) break;  // it became shorter: what is missing is found by the check
  }
  constexpr int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  if (::fcntl(memory.get(), F_ADD_SEALS, seals) != 0) return errno;
  if (::fstat(memory.get(), &file) != 0) return errno;
  fd = std::move(memory);
  return 0;
}

// Reads the file; null: it is no object at all.
std::shared_ptr<const checked_file> check_file(module_file& opened) {
  fd_source source(opened.fd.get(), static_cast<std::uint64_t>(opened.stamp.size));
  std::optional<elf_file> module = check_elf(source, opened.info, &opened.layout);
  if (!module) return nullptr;
  const bool names = names_sanitizer(*module);
  const auto found = std::make_shared<const checked_file>(checked_file{
      .file = *std::move(module), .info = opened.info, .layout = opened.layout, .names_sanitizer = names});
  if (names) check_sanitizer(found->file, opened.info);
  if (found->info.is_loadable()) note_checked(opened.stamp, found);
  return found;
}

}  // namespace

module_file open_module(const std::string& path, bool copies) {
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
  if (copies) {
    if (const int error = copy_to_memory(opened.fd, file)) {
      return refuse_errno(info, error), std::move(opened);
    }
  }
  opened.stamp = stamp_of(file);
  std::shared_ptr<const checked_file> known = find_checked(opened.stamp);
  if (known != nullptr) {
    info = known->info;
    info.path = path;
    opened.layout = known->layout;
    if (known->names_sanitizer) check_sanitizer(known->file, info);
  } else {
    known = check_file(opened);
  }
  if (known == nullptr) return opened;
  // A library that is in the process is not read from its file again.
  const libraries_here here;
  check_libraries(known->file, info, [&here](const std::string& name) { return here.has(name); });
  return opened;
}

}  // namespace detail

module_info inspect(const std::string& path) { return detail::open_module(path).info; }

}  // namespace ufence
