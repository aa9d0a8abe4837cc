// The hash of one file by the module `cpu`: a chain of jobs, each with the fence of the one before
// as in-fence, while the next block is read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "drivers/cpu/cpu.h"
#include "ufence/base/result.h"
#include "ufence/fence/fence.h"
#include "ufence/issuer/host.h"

namespace ufence::tool {

/// Fills the front of the memory with what comes next. @return  how much, 0: that was the end;
/// errno
using block_source = std::function<result<std::size_t>(std::span<std::byte>)>;

/// The blocks of one file after the other. Threads: one at a time.
class block_hash {
 public:
  static constexpr std::size_t block_bytes = 1UL << 20U;

  /// @param cpu  the module `cpu`
  explicit block_hash(device_ref cpu);

  struct sum {
    std::string digest;  // 32 bytes
    std::uint64_t bytes = 0;
  };
  /// @return  the error of the source, or of a job. Nothing is in flight then.
  [[nodiscard]] result<sum> hash(const block_source& next);

 private:
  [[nodiscard]] result<fence_ref> submit(std::span<const std::byte> data, bool is_first,
                                         bool is_last, const fence_ref& after);

  const device_ref cpu_;
  std::array<std::unique_ptr<std::byte[]>, 2> buffers_;
  ufence_cpu_sha256 state_{};
  std::array<std::uint8_t, UFENCE_CPU_DIGEST_SIZE> digest_{};
};

}  // namespace ufence::tool
