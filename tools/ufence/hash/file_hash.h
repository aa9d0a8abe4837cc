// The hash of one file: its blocks on their way through the two modules.
//
// A block is read by `uring`, here or in a reader process, and hashed by `cpu`. The hash job's
// in-fences are the block's read and the hash of the block before, so blocks are read ahead while
// the chain of hashes runs by itself. The state of the hash lies here: a chain that an unload has
// cut is continued in the next instance at the first block that was not hashed, with the data that
// was read already. No file is begun twice.
//
// Two things are not known in advance and decide what may be submitted when:
//   - A block is hashed only after the one before was read in full: what follows a short read is
//     beyond the end of the file, whatever it holds.
//   - The job that ends the hash must know that it is the last one. So a block that may be the last
//     is hashed when its read is done. Only the first block of a small file does not wait: it is
//     taken for the last; if the file has grown meanwhile, it is hashed once more, as a first one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "drivers/cpu/cpu.h"
#include "tools/ufence/hash/sum_line.h"
#include "tools/ufence/reads/block_pool.h"
#include "tools/ufence/reads/block_reads.h"
#include "tools/ufence/run/job_issuer.h"
#include "tools/ufence/run/mailbox.h"

namespace ufence::tool {

/// The counts of all files of a run.
struct file_counters {
  std::uint64_t resubmitted = 0;  // jobs that their issuer's end had cut off
  // Events to come; the thread that takes one from the mailbox counts it out.
  std::size_t watches_queued = 0;
  // The event that a blocked file may wait for has come; the caller resets it.
  bool has_news_for_blocked = false;
};

/// The part that the files of a client share.
struct file_services {
  job_issuer& jobs;
  read_service& reads;
  block_pool& blocks;
  mailbox& box;
  file_counters& counters;
  std::uint64_t block_bytes;
  std::size_t blocks_per_file_max;
  std::size_t client = 0;
};

/// Threads: the main one.
class file_hash {
 public:
  file_hash(file_services& services, file_location where, sha256_digest& digest);
  ~file_hash();
  file_hash(const file_hash&) = delete;
  file_hash& operator=(const file_hash&) = delete;

  /// Takes what has ended into account and submits what can be.
  /// @return  true: finished, nothing of it is in flight any more
  bool advance();
  /// Submits nothing more: finished as soon as nothing is in flight.
  void stop() { is_stopped_ = true; }

  /// It waits for a module or for memory, not for a fence: call advance() when there may be some.
  [[nodiscard]] bool is_blocked() const { return is_blocked_; }
  /// The digest is complete.
  [[nodiscard]] bool is_hashed() const { return is_hashed_; }
  /// The failure, a negative errno, or 0.
  [[nodiscard]] int error() const { return error_; }
  /// Hashed so far.
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

  void* owner = nullptr;  // the caller's

 private:
  using step = block::step;

  [[nodiscard]] bool may_try_again(int error);
  void collect();
  void collect_read(block& b);
  void collect_hash(block& b);
  void retire_done();
  bool is_done_with(block& b);
  [[nodiscard]] bool is_beyond_end(const block& b) const;
  void drop_beyond_end();
  void give_back(std::unique_ptr<block> b);

  void submit_reads();
  [[nodiscard]] bool may_read_on() const;
  bool add_block();
  bool submit_read(block& b);
  void submit_hashes();
  [[nodiscard]] bool may_hash(std::size_t index) const;
  bool submit_hash(std::size_t index);
  bool accept(result<issued_fence> submitted, issued_fence& into);

  bool watch_pending();
  bool queue(watch& w, issued_fence& on);
  void finish();
  [[nodiscard]] bool has_pending() const;
  [[nodiscard]] bool is_going_on() const { return !is_hashed_ && error_ == 0 && !is_stopped_; }
  [[nodiscard]] bool is_long() const { return goes_beyond_first_ || is_expected_long_; }

  file_services& services_;
  const bool is_expected_long_;  // longer than one block
  std::unique_ptr<file_reads> reads_;
  sha256_digest& digest_;
  ufence_cpu_sha256 state_{};
  std::vector<std::unique_ptr<block>> blocks_;  // in order of offset; read or hash is not done
  issued_fence last_hash_;                      // of the block before the first of blocks_
  std::uint64_t next_offset_ = 0;               // of the next block to be read
  std::uint64_t bytes_ = 0;
  unsigned timeouts_ = 0;  // jobs that were late
  int error_ = 0;
  bool has_begun_ = false;          // the first block was taken
  bool goes_beyond_first_ = false;  // the first block was read, and is not the end
  bool end_is_read_ = false;        // a read has met the end
  bool is_hashed_ = false;
  bool is_stopped_ = false;
  bool is_blocked_ = false;
};

}  // namespace ufence::tool
