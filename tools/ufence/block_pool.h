// The memory of blocks in flight: a bounded number of equal buffers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "tools/ufence/job_issuer.h"
#include "tools/ufence/mailbox.h"

namespace ufence::tool {

/// A block of a file on its way: read into a buffer, then hashed.
struct block {
  enum class step : std::uint8_t { none, pending, done };

  std::unique_ptr<std::byte[]> buffer;
  std::uint64_t offset = 0;
  std::uint64_t bytes_read = 0;  // written by the read job
  step read = step::none;
  step hash = step::none;
  bool is_first = false;
  bool is_at_end = false;   // read is done, and the file ends here
  bool is_closing = false;  // no data: only ends the hash
  bool ends_hash = false;   // the hash job that was submitted writes the digest
  issued_fence read_fence, hash_fence;
  fence_ref hash_of;     // in-fence of the hash job: the read (perhaps not read_fence any more)
  fence_ref hash_after;  // the other one: the hash of the block before
  watch read_watch, hash_watch;
};

/// Threads: one.
class block_pool {
 public:
  block_pool(std::size_t block_bytes, std::size_t blocks_max)
      : block_bytes_(block_bytes), left_(blocks_max) {}

  [[nodiscard]] bool empty() const { return free_.empty() && left_ == 0; }

  /// A block, the one given back last; null: all are in use.
  [[nodiscard]] std::unique_ptr<block> take() {
    if (!free_.empty()) {
      std::unique_ptr<block> taken = std::move(free_.back());
      free_.pop_back();
      return taken;
    }
    if (left_ == 0) return nullptr;
    auto made = std::make_unique<block>();
    made->buffer = std::make_unique_for_overwrite<std::byte[]>(block_bytes_);
    --left_;
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
  std::size_t left_;  // that may still be made
  std::vector<std::unique_ptr<block>> free_;
};

}  // namespace ufence::tool
