// Reads by a reader process, which is started again whenever it ends.
//
// The run opens the files and owns the memory; the reader gets a descriptor and a block for each
// read, and sends a sync file of the read's fence. So nothing is lost with a reader: fences that
// were signaled stay so, the others end with -EOWNERDEAD, and their reads go to the next reader as
// they are. A reader's end is waited for before another one gets a block, so no two write to it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tools/ufence/block_reads.h"
#include "tools/ufence/job_issuer.h"
#include "tools/ufence/reader_process.h"
#include "tools/ufence/reader_wire.h"
#include "tools/ufence/run_options.h"
#include "tools/ufence/shared_blocks.h"
#include "ufence/fence/timeline.h"

namespace ufence::tool {

struct reader_totals {
  std::uint64_t started = 0;
  std::uint64_t killed = 0;            // by --kill-reader-every
  std::uint64_t lost = 0;              // ended otherwise before they were told to
  std::uint64_t fences_outliving = 0;  // referred to when their reader ended
};

/// Threads: the main one.
class process_reads final : public read_service {
 public:
  /// @param driver_path  where the reader finds its module
  process_reads(const run_options& options, std::string driver_path, const shared_blocks& memory,
                job_issuer& jobs);

  /// Starts the first reader. What goes wrong is told by failure().
  void start();
  /// Ends the reader, and starts no more: what is in flight ends.
  /// @param is_idle  nothing is in flight: the reader may end by itself
  void end(bool is_idle);

  [[nodiscard]] std::unique_ptr<file_reads> open(file_location where) override;
  bool take_news(const std::function<void(file_hash&)>& on_file) override;
  [[nodiscard]] int news_fd() const override { return reader_.socket(); }
  [[nodiscard]] std::int64_t news_at_ns() const override;
  [[nodiscard]] std::string failure() const override { return failure_; }

  [[nodiscard]] const reader_totals& totals() const { return totals_; }

 private:
  class opened_file;
  // What the reader said.
  union answer {
    reader_message kind;
    fences_message fences;
    failed_message failed;
  };

  [[nodiscard]] result<issued_fence> ask(block& b, int file);
  [[nodiscard]] bool take_answer(const answer& said, received_message& got);
  [[nodiscard]] bool take_fences(const fences_message& said, received_message& got);
  void deliver(std::size_t index, issued_fence f);
  [[nodiscard]] issued_fence ended_fence(int error);
  void note_completed();
  void kill_if_due();
  void ended(std::string_view why);
  void forget_reader();
  void send_setup();

  const std::string program_;
  const std::string driver_path_;
  const std::chrono::milliseconds kill_interval_;  // 0: never
  const std::uint64_t reload_every_ms_;
  const bool cancels_at_reload_;
  const shared_blocks& memory_;
  job_issuer& jobs_;
  timeline_issuer own_fences_;  // of reads that no reader has made a fence of
  reader_process reader_;
  instance* issuer_ = nullptr;  // of the reader's fences
  std::vector<block*> asked_;   // by index: its fence is to come
  std::size_t asked_count_ = 0;
  std::vector<file_hash*> told_;  // that got fences, for take_news()
  reader_totals totals_;
  std::string failure_;
  std::uint64_t completed_ = 0;  // reads, by this reader
  std::uint64_t in_vain_ = 0;    // readers, one after the other, that completed none
  std::int64_t kill_at_ns_ = no_deadline;
  bool was_killed_ = false;  // this reader
  bool is_ending_ = false;
};

}  // namespace ufence::tool
