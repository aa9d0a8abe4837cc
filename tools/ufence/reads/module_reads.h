// Reads by the module `uring` of this process.
#pragma once

#include <cstdint>
#include <memory>

#include "tools/ufence/reads/block_reads.h"
#include "tools/ufence/run/job_issuer.h"

namespace ufence::tool {

/// Threads: the main one.
class module_reads final : public read_service {
 public:
  module_reads(job_issuer& jobs, std::uint64_t block_bytes)
      : jobs_(jobs), block_bytes_(block_bytes) {}

  [[nodiscard]] std::unique_ptr<file_reads> open(file_location where) override;

 private:
  job_issuer& jobs_;
  const std::uint64_t block_bytes_;
};

}  // namespace ufence::tool
