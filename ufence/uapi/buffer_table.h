// Buffers: memory that programs map and pass around as dma-bufs, each with a reservation object.
//
// A dma-buf is a memory file: the broker keeps one open file of it, and gives out others. It is
// told whether it is the only one that has the memory open, or mapped, by asking for a lease.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "ufence/base/clock.h"
#include "ufence/base/fd.h"
#include "ufence/base/result.h"
#include "ufence/container/resv.h"
#include "ufence/uapi/call.h"

namespace ufence::uapi {

struct buffer {
  unique_fd memory;
  std::uint64_t size = 0;
  resv fences;
  std::uint32_t name = 0;  // of GEM_FLINK; 0: none
  charge of_maker;
  charge bytes_of_maker;
};
using buffer_ref = std::shared_ptr<buffer>;

/// Threads: the broker's alone. May throw std::bad_alloc.
class buffer_table {
 public:
  /// @return  -EMFILE, -ENFILE, -ENOMEM, ...
  [[nodiscard]] result<buffer_ref> create(std::uint64_t size, const client_ref& owner);
  /// A dma-buf of it, O_RDWR or O_RDONLY. @return  as create()
  [[nodiscard]] static result<unique_fd> open(const buffer& b, int access) noexcept;
  /// The buffer of a dma-buf, or null.
  [[nodiscard]] buffer_ref find(int descriptor) const noexcept;

  /// An ioctl on a dma-buf. @return  ENOTTY it is none, or not known
  [[nodiscard]] reply control(const call& c);

  /// Forgets what nobody has. @return  how many have no handle any more, but somebody has them open
  std::size_t sweep() noexcept;
  [[nodiscard]] bool empty() const noexcept { return buffers_.empty(); }

  /// A buffer may have no handle any more: it is forgotten at once, or soon after the last of the
  /// others has closed it, which tell nobody.
  void note_unused() noexcept;
  /// When on_time() is wanted.
  [[nodiscard]] std::int64_t next_time_ns() const noexcept { return sweep_at_; }
  void on_time(std::int64_t now) noexcept;

 private:
  struct file_id {
    dev_t device;
    ino_t inode;
    auto operator<=>(const file_id&) const = default;
  };
  std::map<file_id, buffer_ref> buffers_;
  std::int64_t sweep_at_ = no_deadline;
  std::int64_t not_before_ = 0;  // sweeping takes a twentieth of the broker's time at most
};

}  // namespace ufence::uapi
