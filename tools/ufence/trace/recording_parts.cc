#include "tools/ufence/trace/recording_parts.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include "tools/ufence/trace/recording.h"
#include "ufence/base/fd.h"

namespace ufence::tool {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& path) {
  const int error = errno;
  throw std::runtime_error(path + ": " + std::generic_category().message(error));
}

// A file that nobody writes to any more.
class mapped_file {
 public:
  explicit mapped_file(const std::string& path) {
    const unique_fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat info {};
    if (!file || ::fstat(file.get(), &info) != 0) fail(path);
    size_ = static_cast<std::size_t>(info.st_size);
    if (size_ == 0) return;
    at_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file.get(), 0);
    if (at_ == MAP_FAILED) fail(path);
  }
  ~mapped_file() {
    if (at_ != nullptr) ::munmap(at_, size_);
  }
  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;

  [[nodiscard]] std::string_view bytes() const noexcept {
    return {static_cast<const char*>(at_), size_};
  }
  /// Its memory is the caller's now.
  [[nodiscard]] void* release() noexcept { return std::exchange(at_, nullptr); }

 private:
  void* at_ = nullptr;
  std::size_t size_ = 0;
};

void append(const std::string& path, std::string_view bytes) {
  const unique_fd file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!file) fail(path);
  while (!bytes.empty()) {
    const ssize_t n = ::write(file.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail(path);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace

recording_parts::recording_parts(output_file& output) : output_(output) {
  const bool is_beside = !output.replaces().empty();
  const fs::path folder = is_beside ? fs::path(output.replaces()).parent_path() : fs::temp_directory_path();
  folder_ = ((folder.empty() ? fs::path(".") : folder) / ".ufence-record-XXXXXX").string();
  const std::string wanted = folder_;
  if (::mkdtemp(folder_.data()) == nullptr) {
    folder_.clear();
    fail(wanted);
  }
}

recording_parts::~recording_parts() {
  if (mapped_ != nullptr) ::munmap(mapped_, size_);
  std::error_code failed;
  fs::remove_all(folder_, failed);
}

std::string recording_parts::prefix() const {
  return (fs::absolute(folder_) / "part").lexically_normal().string();
}

std::string_view recording_parts::join() {
  std::vector<fs::path> parts;
  for (const fs::directory_entry& e : fs::directory_iterator(folder_)) parts.push_back(e.path());
  std::ranges::sort(parts);
  for (const fs::path& p : parts) {
    const mapped_file part(p.string());
    const std::string_view complete = part.bytes().substr(0, complete_size(part.bytes()));
    if (complete.empty()) continue;
    if (!whole_.empty()) {
      append(whole_, complete);
      continue;
    }
    whole_ = p.string();
    if (complete.size() == part.bytes().size()) continue;
    if (::truncate(whole_.c_str(), static_cast<off_t>(complete.size())) != 0) fail(whole_);
  }
  if (whole_.empty()) return {};
  mapped_file all(whole_);
  size_ = all.bytes().size();
  mapped_ = all.release();
  return {static_cast<const char*>(mapped_), size_};
}

std::error_code recording_parts::publish() {
  if (!output_.replaces().empty()) return output_.commit_file(whole_);
  return output_.write_and_commit({static_cast<const char*>(mapped_), size_});
}

}  // namespace ufence::tool
