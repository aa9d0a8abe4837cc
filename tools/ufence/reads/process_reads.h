// Reads by a reader process, which is started again whenever it ends.
//
// The run opens the files and owns the memory; the reader gets a descriptor and a block for each
// read, and sends a sync file of the read's fence; or, once for each file, a timeline that rises
// with the file's reads, in their order. So nothing is lost with a reader: fences that were
// signaled stay so, the others end with -EOWNERDEAD, and their reads go to the next reader as they
// are. A reader's end is waited for before another one gets a block, so no two write to it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <vector>

#include "tools/ufence/reader/reader_wire.h"
#include "tools/ufence/reads/block_reads.h"
#include "tools/ufence/reads/reader_process.h"
#include "tools/ufence/reads/shared_blocks.h"
#include "tools/ufence/run/job_issuer.h"
#include "tools/ufence/run/run_options.h"
#include "ufence/fence/timeline.h"
#include "ufence/sync/shared_timeline.h"

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
  // A read whose fence is to come.
  struct asked_read {
    block* what = nullptr;
    std::uint64_t timeline = 0;  // 0: none
    std::uint64_t point = 0;
  };
  // The reader's answers.
  union answer {
    reader_message kind;
    fences_message fences;
    timeline_message timeline;
    failed_message failed;
  };

  [[nodiscard]] std::error_code send(std::span<const std::byte> message, std::span<const int> fds);
  // To a reader that may not be set up yet.
  [[nodiscard]] std::error_code post(std::span<const std::byte> message, std::span<const int> fds);
  [[nodiscard]] std::error_code ask(const read_message& wanted, int file);
  void await_fence(block& b, const read_message& asked);
  [[nodiscard]] std::uint64_t begin_timeline(opened_file& of);
  void forget_timeline(std::uint64_t id);
  void tell_forgotten();
  [[nodiscard]] issued_fence fence_of(shared_timeline& line, std::uint64_t point);
  [[nodiscard]] bool take_answer(const answer& said, received_message& got);
  [[nodiscard]] bool take_fences(const fences_message& said, received_message& got);
  [[nodiscard]] bool take_timeline(const timeline_message& said, received_message& got);
  void deliver(std::size_t index, issued_fence f);
  [[nodiscard]] issued_fence ended_fence(int error);
  void note_completed();
  void kill_if_due();
  void ended(std::string_view why);
  void forget_reader();
  void send_setup();

  const std::string program_;
  const std::string driver_path_;
  const read_path via_;
  const std::chrono::milliseconds kill_interval_;  // 0: never
  const std::uint64_t reload_every_ms_;
  const bool cancels_at_reload_;
  const shared_blocks& memory_;
  job_issuer& jobs_;
  timeline_issuer own_fences_;  // of reads that no reader has made a fence of
  reader_process reader_;
  instance* issuer_ = nullptr;                                 // of the reader's fences
  std::vector<asked_read> asked_;                              // by the block's index
  std::unordered_map<std::uint64_t, opened_file*> timelines_;  // that this reader knows, or will
  std::uint64_t last_timeline_ = 0;
  std::vector<std::uint64_t> forgotten_;    // timelines, to be told
  std::int64_t retry_at_ns_ = no_deadline;  // there was no room for a message
  std::vector<file_hash*> told_;            // that got fences, for take_news()
  reader_totals totals_;
  std::string failure_;
  std::uint64_t completed_ = 0;  // reads, by this reader
  std::uint64_t in_vain_ = 0;    // readers, one after the other, that completed none
  std::int64_t kill_at_ns_ = no_deadline;
  bool was_killed_ = false;  // this reader
  bool is_set_up_ = false;   // the same: it was told what to do
  bool is_ending_ = false;
};

}  // namespace ufence::tool
