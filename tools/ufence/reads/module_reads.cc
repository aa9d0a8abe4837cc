#include "tools/ufence/reads/module_reads.h"

#include <fcntl.h>

#include <utility>

#include "drivers/uring/uring.h"
#include "ufence/base/fd.h"

namespace ufence::tool {
namespace {

class module_file_reads final : public file_reads {
 public:
  module_file_reads(job_issuer& jobs, file_location where, std::uint64_t block_bytes)
      : jobs_(jobs), where_(std::move(where)), block_bytes_(block_bytes) {}

  [[nodiscard]] result<issued_fence> submit(block& b) override {
    return b.is_first ? submit_first(b) : submit_next(b);
  }
  [[nodiscard]] const std::uint64_t& size_of(const block& b) const override {
    return b.is_first ? opened_.bytes_read : b.bytes_read;
  }
  [[nodiscard]] std::error_code take(block& b) override {
    if (b.is_first) {
      b.bytes_read = opened_.bytes_read;
      b.is_at_end = opened_.at_end != 0;
      if (!b.is_at_end) fd_.reset(opened_.fd);
    } else {
      b.is_at_end = b.bytes_read < block_bytes_;
    }
    return {};
  }
  [[nodiscard]] bool was_cut(const issued_fence& f, int error) const override {
    return job_issuer::was_cancelled_by_unload(f, error);
  }
  [[nodiscard]] std::uint64_t file_size() const override { return opened_.file_size; }

 private:
  result<issued_fence> submit_first(block& b) {
    const ufence_uring_read_file args{
        .path = where_.name,
        .dirfd = where_.directory ? where_.directory->get() : AT_FDCWD,
        .flags = UFENCE_URING_KEEP_OPEN |
                 (where_.follows_link ? 0 : std::uint32_t{UFENCE_URING_NOFOLLOW}),
        .buffer = b.buffer,
        .size = block_bytes_,
        .file = &opened_};
    return jobs_.submit(driver::uring, request_of(UFENCE_URING_READ_FILE, args), where_.client);
  }
  result<issued_fence> submit_next(block& b) {
    const ufence_uring_read args{.fd = fd_.get(),
                                 .flags = 0,
                                 .offset = b.offset,
                                 .buffer = b.buffer,
                                 .size = block_bytes_,
                                 .bytes_read = &b.bytes_read};
    return jobs_.submit(driver::uring, request_of(UFENCE_URING_READ, args), where_.client);
  }

  job_issuer& jobs_;
  const file_location where_;
  const std::uint64_t block_bytes_;
  ufence_uring_file opened_{};
  unique_fd fd_;  // of a file that is longer than its first block
};

}  // namespace

std::unique_ptr<file_reads> module_reads::open(file_location where) {
  return std::make_unique<module_file_reads>(jobs_, std::move(where), block_bytes_);
}

}  // namespace ufence::tool
