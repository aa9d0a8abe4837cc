// One thread of a worker: it takes items one after the other. Each life of it has a timeline, whose
// points are the items that it has done; when its run takes it for dead, it begins another life.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <system_error>

#include "tools/net/job/block_hash.h"
#include "tools/net/job/bus.h"
#include "tools/net/job/wire.h"
#include "ufence/base/atomic.h"
#include "ufence/base/fd.h"
#include "ufence/net/host_link.h"

namespace ufence::tool {

/// The part that the lanes of a worker share.
struct lane_services {
  bus& server;
  host_link& link;
  device_ref cpu;
  std::string folder;
  std::string host;
  std::int64_t lease_ns;
  atomic<bool> is_over{false};               // relaxed: each looks now and then
  atomic<std::uint64_t> files{0}, bytes{0};  // relaxed: they only count
};

/// Threads: the one that calls run().
class lane {
 public:
  explicit lane(lane_services& all) : all_(all), hash_(all.cpu) {}

  /// @return  empty: it was over; or why it can't go on, for people
  [[nodiscard]] std::string run();

 private:
  enum class step : std::uint8_t { again, later, give_up };

  [[nodiscard]] bool is_over() const { return all_.is_over.load(mo::relaxed); }
  [[nodiscard]] bool join();
  [[nodiscard]] step take_one();
  [[nodiscard]] std::optional<verdict> ask(std::uint64_t run, const std::string& question,
                                           std::int64_t nobody_ns);
  [[nodiscard]] bool open_root(const work_item& item);
  [[nodiscard]] std::optional<work_result> do_it(const work_item& item,
                                                 std::optional<queue_reader>& blocks);
  [[nodiscard]] result<block_hash::sum> hash_file(const work_item& item);
  [[nodiscard]] result<block_hash::sum> hash_blocks(const work_item& item, queue_reader& blocks);
  void pause() const;

  lane_services& all_;
  block_hash hash_;
  std::optional<exported_timeline> line_;  // of this life
  std::uint64_t done_ = 0;                 // items of this life
  std::optional<queue_reader> queue_;
  unique_fd root_;  // the folder that root_path_ is
  std::string root_path_;
  std::string problem_;
};

}  // namespace ufence::tool
