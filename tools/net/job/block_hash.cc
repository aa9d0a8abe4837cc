#include "tools/net/job/block_hash.h"

#include <cerrno>
#include <utility>

namespace ufence::tool {

block_hash::block_hash(device_ref cpu) : cpu_(std::move(cpu)) {
  for (auto& one : buffers_) one = std::make_unique_for_overwrite<std::byte[]>(block_bytes);
}

result<fence_ref> block_hash::submit(std::span<const std::byte> data, bool is_first, bool is_last,
                                     const fence_ref& after) {
  const ufence_cpu_sha256_update args{.state = &state_,
                                      .data = data.data(),
                                      .size = data.size(),
                                      .size_from = nullptr,
                                      .digest = is_last ? digest_.data() : nullptr,
                                      .flags = (is_first ? std::uint32_t{UFENCE_CPU_FIRST} : 0) |
                                               (is_last ? std::uint32_t{UFENCE_CPU_LAST} : 0),
                                      .reserved = 0};
  return cpu_->submit({.opcode = UFENCE_CPU_SHA256,
                       .args = std::as_bytes(std::span(&args, 1)),
                       .in_fences = std::span(&after, after ? 1 : 0)});
}

// A buffer is filled again when the job that hashes it has ended, which is the one before the last.
result<block_hash::sum> block_hash::hash(const block_source& next) {
  sum done;
  std::array<fence_ref, 2> jobs;  // of the buffers
  std::error_code failed;
  for (std::size_t turn = 0;; ++turn) {
    const fence_ref& before = jobs[(turn + 1) % 2];
    fence_ref& job = jobs[turn % 2];
    if (job) failed = job->wait_result();
    if (failed) break;
    std::byte* const buffer = buffers_[turn % 2].get();
    const auto filled = next(std::span(buffer, block_bytes));
    if (!filled) failed = filled.error();
    if (failed) break;
    auto submitted = submit(std::span(buffer, *filled), turn == 0, *filled == 0, before);
    if (!submitted) failed = submitted.error();
    if (failed) break;
    job = *std::move(submitted);
    done.bytes += *filled;
    if (*filled != 0) continue;
    failed = job->wait_result();
    break;
  }
  for (const fence_ref& one : jobs) {
    if (one) static_cast<void>(one->wait());
  }
  if (failed) return std::unexpected(failed);
  done.digest.assign(reinterpret_cast<const char*>(digest_.data()), digest_.size());
  return done;
}

}  // namespace ufence::tool
