// One reader process: this program once more, connected by a socket.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <string>

#include "ufence/base/fd.h"

namespace ufence::tool {

/// Threads: one.
class reader_process {
 public:
  reader_process() = default;
  reader_process(reader_process&& other) noexcept;
  reader_process& operator=(reader_process&& other) noexcept;
  ~reader_process();

  /// @param program  this program, or another file that is it
  /// @return  or a line for people
  [[nodiscard]] static std::expected<reader_process, std::string> start(const std::string& program);

  explicit operator bool() const { return pid_ > 0; }
  [[nodiscard]] int socket() const { return socket_.get(); }

  /// Kills it. Its end of the socket is closed soon after.
  void kill();
  /// Kills it, and waits for its end: nothing of it touches shared memory any more.
  /// @return  how it had ended, for people; empty: by SIGKILL
  std::string end();
  /// Lets it end by itself, up to the deadline; else kills it.
  /// @return  the same; empty also if all was well
  std::string finish(std::int64_t deadline_ns);

 private:
  std::string wait();

  pid_t pid_ = -1;
  unique_fd socket_;
};

}  // namespace ufence::tool
