// Buffers: memory that programs map and pass around as dma-bufs, each with a reservation object.
//
// A dma-buf is a memory file: the broker keeps one open file of it, and gives out others of their
// own, each with a shared lock that goes when the last descriptor and the last mapping of it have
// gone. So the broker can tell whether anybody still has the buffer.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "ufence/base/fd.h"
#include "ufence/base/result.h"
#include "ufence/container/resv.h"
#include "ufence/uapi/call.h"

namespace ufence::uapi {

struct buffer {
  unique_fd memory;
  std::uint64_t size = 0;
  resv fences;
};
using buffer_ref = std::shared_ptr<buffer>;

/// Threads: the broker's alone. May throw std::bad_alloc.
class buffer_table {
 public:
  /// @return  -EMFILE, -ENFILE, -ENOMEM, ...
  [[nodiscard]] result<buffer_ref> create(std::uint64_t size);
  /// A dma-buf of it. @return  as create()
  [[nodiscard]] static result<unique_fd> open(const buffer& b) noexcept;
  /// The buffer of a dma-buf, or null.
  [[nodiscard]] buffer_ref find(int descriptor) const noexcept;

  /// An ioctl on a dma-buf. @return  ENOTTY it is none, or not known
  [[nodiscard]] reply control(const call& c);

  /// Forgets what nobody has. @return  whether nothing is left
  bool sweep() noexcept;
  [[nodiscard]] bool empty() const noexcept { return buffers_.empty(); }

 private:
  struct file_id {
    dev_t device;
    ino_t inode;
    auto operator<=>(const file_id&) const = default;
  };
  std::map<file_id, buffer_ref> buffers_;
};

}  // namespace ufence::uapi
