// Sends the blocks of files to those who claimed them, as fast as there is room: a thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tools/net/job/bus.h"
#include "ufence/base/fd.h"

namespace ufence::tool {

/// Threads: any, concurrently.
class block_sender {
 public:
  explicit block_sender(bus& server);
  ~block_sender();
  block_sender(const block_sender&) = delete;
  block_sender& operator=(const block_sender&) = delete;

  /// From now on the file goes to that claim.
  void begin(std::uint64_t claim, std::uint64_t attempt, const std::string& path);
  /// Nobody takes its blocks any more: those that were sent are dropped.
  void drop(std::uint64_t claim);

 private:
  struct file {
    std::uint64_t claim, attempt;
    unique_fd fd;
    std::uint64_t offset = 0;
    std::string message;  // that there was no room for
    int error = 0;        // it can't be read
    bool is_last = false;
  };
  enum class progress : std::uint8_t { none, some, all };

  void run();
  [[nodiscard]] progress send_one(file& one);
  void fill(file& one);

  bus& server_;
  std::mutex lock_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<file>> fresh_;  // lock_
  std::vector<std::uint64_t> dropped_;        // lock_
  bool is_over_ = false;                      // lock_
  std::string buffer_;                        // the thread's
  std::thread thread_;
};

}  // namespace ufence::tool
