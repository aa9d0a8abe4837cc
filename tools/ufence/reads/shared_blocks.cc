#include "tools/ufence/reads/shared_blocks.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <new>
#include <utility>

namespace ufence::tool {
namespace {

constexpr std::size_t line = 64;    // no two blocks share a cache line
constexpr std::size_t page = 4096;  // large ones begin on a page of their own
constexpr int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

std::size_t rounded(std::size_t size, std::size_t to) { return (size + to - 1) / to * to; }

std::size_t stride(std::uint64_t block_bytes) {
  return rounded(block_bytes, block_bytes >= page ? page : line);
}

// The numbers come first, a line each.
std::size_t buffers_begin(std::size_t count) { return rounded(count * line, page); }

std::size_t size_of(std::size_t count, std::uint64_t block_bytes) {
  return buffers_begin(count) + count * stride(block_bytes);
}

}  // namespace

shared_blocks::shared_blocks(shared_blocks&& other) noexcept
    : memory_(std::move(other.memory_)),
      begin_(std::exchange(other.begin_, nullptr)),
      size_(other.size_),
      count_(other.count_),
      block_bytes_(other.block_bytes_) {}

shared_blocks& shared_blocks::operator=(shared_blocks&& other) noexcept {
  if (this != &other) {
    this->~shared_blocks();
    ::new (this) shared_blocks(std::move(other));
  }
  return *this;
}

shared_blocks::~shared_blocks() {
  if (begin_ != nullptr) ::munmap(begin_, size_);
}

result<shared_blocks> shared_blocks::make(std::size_t count, std::uint64_t block_bytes) {
  const auto size = static_cast<off_t>(size_of(count, block_bytes));
  // A file beyond the limit would end the process, by SIGXFSZ.
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && std::cmp_less(limit.rlim_cur, size)) {
    return failure(EFBIG);
  }
  // Never executable, where the system knows the difference: it may refuse what might be.
  constexpr unsigned not_executable = 0x8;  // MFD_NOEXEC_SEAL, which not all headers have
  constexpr unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  unique_fd memory(::memfd_create("ufence-blocks", flags | not_executable));
  if (!memory && errno == EINVAL) memory.reset(::memfd_create("ufence-blocks", flags));
  if (!memory) return failure(errno);
  if (::ftruncate(memory.get(), size) != 0) return failure(errno);
  if (::fcntl(memory.get(), F_ADD_SEALS, seals) != 0) return failure(errno);
  return map(std::move(memory), count, block_bytes);
}

result<shared_blocks> shared_blocks::map(unique_fd memory, std::size_t count,
                                         std::uint64_t block_bytes) {
  const std::size_t size = size_of(count, block_bytes);
  struct stat status {};
  if (::fstat(memory.get(), &status) != 0) return failure(errno);
  const int sealed = ::fcntl(memory.get(), F_GET_SEALS);
  if (std::cmp_not_equal(status.st_size, size) || sealed < 0 || (sealed & seals) != seals) {
    return failure(EINVAL);
  }
  void* const begin = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (begin == MAP_FAILED) return failure(errno);
  shared_blocks made;
  made.memory_ = std::move(memory);
  made.begin_ = static_cast<std::byte*>(begin);
  made.size_ = size;
  made.count_ = count;
  made.block_bytes_ = block_bytes;
  return made;
}

std::byte* shared_blocks::buffer(std::size_t index) const {
  return begin_ + buffers_begin(count_) + index * stride(block_bytes_);
}

std::uint64_t* shared_blocks::bytes_read(std::size_t index) const {
  return std::launder(reinterpret_cast<std::uint64_t*>(begin_ + index * line));
}

}  // namespace ufence::tool
