// The run's main loop: many files of each client in flight, their sums written in the order of
// paths.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tools/ufence/cli/console.h"
#include "tools/ufence/hash/file_hash.h"
#include "tools/ufence/hash/sum_output.h"
#include "tools/ufence/hash/tree_walk.h"
#include "tools/ufence/reads/block_pool.h"
#include "tools/ufence/reads/block_reads.h"
#include "tools/ufence/reads/shared_blocks.h"
#include "tools/ufence/run/client_queues.h"
#include "tools/ufence/run/job_issuer.h"
#include "tools/ufence/run/mailbox.h"
#include "tools/ufence/run/run_limits.h"
#include "tools/ufence/run/run_options.h"

namespace ufence::tool {

/// The share that a client got.
struct client_totals {
  std::uint64_t files = 0, bytes = 0;  // hashed
  std::vector<std::int64_t> file_ns;   // how long each file took, from its begin to its sum
  std::int64_t device_ns = 0;          // of `cpu`, until the first client had all its sums
};

struct file_totals {
  std::uint64_t files = 0, bytes = 0;  // hashed
  std::uint64_t skipped = 0;           // links, FIFOs, sockets, devices inside trees
  std::uint64_t resubmitted = 0;       // jobs
  std::vector<client_totals> clients;
};

/// Threads: the main one.
class engine final : private walk_observer {
 public:
  enum class outcome {
    finished,     // everything was hashed or told as a problem
    interrupted,  // a signal came: stop() and run() again
    failed,       // a module is gone for good, or the output is: the same
  };

  /// @param shared  the memory of the blocks, of one client; null: they have their own
  engine(const run_options& options, const run_limits& limits, console& con, sum_output& out,
         mailbox& box, job_issuer& jobs, client_queues& queues, read_service& reads,
         const shared_blocks* shared);
  ~engine() override;
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  /// Hashes; after stop() it only waits until nothing is in flight.
  [[nodiscard]] outcome run();
  /// Submits nothing more. For run() to finish then, the modules must end what they have: unload
  /// them.
  void stop();
  /// News of reloads and of the reader that came after run().
  void take_news();

  [[nodiscard]] file_totals totals() const;

 private:
  // A file whose sum is not written yet.
  struct sum_line {
    enum class progress : std::uint8_t { running, hashed, dropped };
    std::string path;
    sha256_digest digest{};
    progress state = progress::running;
  };
  struct client;
  struct active_file;

  void skipped() override { ++totals_.skipped; }
  void failed(std::string_view path, std::string_view text) override {
    console_.problem(path, text);
  }
  [[nodiscard]] bool goes_on() const override;

  [[nodiscard]] bool may_begin(const client& c) const;
  void admit();
  void begin_file(client& c);
  void note_end(const client& c);
  void advance(active_file& f);
  void finish(active_file& f);
  void retry_blocked();
  [[nodiscard]] client* least_line() const;
  void write_ready_lines();
  void show_progress();
  void take(news what);
  bool take_events();
  void wait();

  console& console_;
  sum_output& output_;
  mailbox& box_;
  job_issuer& jobs_;
  client_queues& queues_;
  read_service& reads_;
  file_counters counters_;
  std::vector<std::unique_ptr<client>> clients_;
  const std::size_t files_max_;  // of a client
  std::vector<std::unique_ptr<active_file>> active_;
  std::vector<active_file*> blocked_;
  file_totals totals_;
  std::int64_t begin_ns_;
  std::int64_t progress_at_ns_;  // when the next progress line is due
  bool all_have_work_ = true;    // no client has all its sums
  bool is_stopping_ = false;
  bool has_failed_ = false;
};

}  // namespace ufence::tool
