// The memory of blocks in flight: a bounded number of equal buffers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "tools/ufence/reads/shared_blocks.h"
#include "tools/ufence/run/job_issuer.h"
#include "tools/ufence/run/mailbox.h"

namespace ufence::tool {

/// A block of a file on its way: read into a buffer, then hashed.
struct block {
  enum class step : std::uint8_t { none, pending, done };

  std::byte* buffer = nullptr;
  std::size_t index = 0;  // in its pool
  std::uint64_t offset = 0;
  std::uint64_t bytes_read = 0;
  step read = step::none;
  step hash = step::none;
  bool is_first = false;
  bool is_at_end = false;               // read is done, and the file ends here
  bool is_closing = false;              // no data: only ends the hash
  bool ends_hash = false;               // the hash job that was submitted writes the digest
  issued_fence read_fence, hash_fence;  // a read may be pending, and its fence still to come
  fence_ref hash_of;     // in-fence of the hash job: the read (perhaps not read_fence any more)
  fence_ref hash_after;  // the other one: the hash of the block before
  watch read_watch, hash_watch;
  std::unique_ptr<std::byte[]> own_buffer;
};

/// Threads: one.
class block_pool {
 public:
  /// @param shared  has so many blocks of this size, for them; null: they have memory of their own
  block_pool(std::size_t block_bytes, std::size_t blocks_max, const shared_blocks* shared)
      : block_bytes_(block_bytes), blocks_max_(blocks_max), shared_(shared) {}

  [[nodiscard]] bool empty() const { return free_.empty() && made_ == blocks_max_; }

  /// A block, the one given back last; null: all are in use.
  [[nodiscard]] std::unique_ptr<block> take() {
    if (!free_.empty()) {
      std::unique_ptr<block> taken = std::move(free_.back());
      free_.pop_back();
      return taken;
    }
    if (made_ == blocks_max_) return nullptr;
    auto made = std::make_unique<block>();
    made->index = made_;
    if (shared_ != nullptr) {
      made->buffer = shared_->buffer(made->index);
    } else {
      made->own_buffer = std::make_unique_for_overwrite<std::byte[]>(block_bytes_);
      made->buffer = made->own_buffer.get();
    }
    ++made_;
    return made;
  }

  /// Its fences were dropped and its watches are not queued.
  void give_back(std::unique_ptr<block> unused) {
    unused->bytes_read = 0;
    unused->read = block::step::none;
    unused->hash = block::step::none;
    unused->is_first = false;
    unused->is_at_end = false;
    unused->is_closing = false;
    unused->ends_hash = false;
    unused->hash_of.reset();
    unused->hash_after.reset();
    free_.push_back(std::move(unused));
  }

 private:
  const std::size_t block_bytes_;
  const std::size_t blocks_max_;
  const shared_blocks* const shared_;
  std::size_t made_ = 0;
  std::vector<std::unique_ptr<block>> free_;
};

}  // namespace ufence::tool
