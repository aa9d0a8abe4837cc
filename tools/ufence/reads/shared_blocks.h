// The memory of blocks that a reader process fills: a memfd that both processes map. Of each block
// it has the number of bytes that were read, and the bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ufence/base/fd.h"
#include "ufence/base/result.h"

namespace ufence::tool {

/// Its size is sealed: nobody can make an access to it fault. What is in it is the reader's word.
class shared_blocks {
 public:
  shared_blocks() = default;
  shared_blocks(shared_blocks&& other) noexcept;
  shared_blocks& operator=(shared_blocks&& other) noexcept;
  ~shared_blocks();

  /// @return  -EMFILE, -ENFILE, -ENOMEM
  [[nodiscard]] static result<shared_blocks> make(std::size_t count, std::uint64_t block_bytes);
  /// Maps what another process made.
  /// @return  -EINVAL it is not of this size, or its size may change; -ENOMEM
  [[nodiscard]] static result<shared_blocks> map(unique_fd memory, std::size_t count,
                                                 std::uint64_t block_bytes);

  [[nodiscard]] int fd() const { return memory_.get(); }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] std::uint64_t block_bytes() const { return block_bytes_; }
  [[nodiscard]] std::byte* buffer(std::size_t index) const;
  [[nodiscard]] std::uint64_t* bytes_read(std::size_t index) const;

 private:
  unique_fd memory_;
  std::byte* begin_ = nullptr;
  std::size_t size_ = 0;
  std::size_t count_ = 0;
  std::uint64_t block_bytes_ = 0;
};

}  // namespace ufence::tool
