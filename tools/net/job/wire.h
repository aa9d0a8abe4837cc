// The messages of the hosts of a job to each other: numbers of eight bytes and texts, little endian. What
// comes is checked where it is read; names of files are bytes, as everywhere.
//
//   run    -> queue   work_item     a worker takes it, and claims it
//   worker -> run     work_claim    answered by a verdict: yours, or not
//   worker -> run     work_result   answered by a verdict; then the worker signals its point
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ufence::tool {

/// A file to be hashed, handed out for the `attempt`-th time.
struct work_item {
  std::uint64_t run = 0;  // a random number
  std::uint64_t number = 0;
  std::uint64_t attempt = 0;
  bool is_sent = false;  // its blocks come over the server
  std::string root;      // the folder that the hosts share
  std::string path;      // of the file, below it
};

/// A worker wants the item, and will signal the point when it is done.
struct work_claim {
  std::uint64_t run = 0, number = 0, attempt = 0;
  std::string point;  // remote_point::to_string()
  std::string host;
  std::uint64_t blocks = 0;  // where it awaits them; 0: nowhere
};

/// Its fate.
struct work_result {
  std::uint64_t run = 0, number = 0, attempt = 0;
  std::string point;
  std::int64_t error = 0;  // a negative errno, or 0
  std::uint64_t bytes = 0;
  std::string digest;  // 32 bytes
};

/// How the run answers.
enum class verdict : std::uint64_t {
  yes = 1,
  no = 2,      // somebody else has it, or it is done
  fenced = 3,  // the worker counts as gone, with all that it claims under this timeline
};

[[nodiscard]] std::string to_bytes(const work_item& one);
[[nodiscard]] std::string to_bytes(const work_claim& one);
[[nodiscard]] std::string to_bytes(const work_result& one);
[[nodiscard]] std::string to_bytes(verdict one);

/// Each: nothing if it is not exactly such a message.
[[nodiscard]] std::optional<work_item> parse_item(std::string_view bytes);
[[nodiscard]] std::optional<work_claim> parse_claim(std::string_view bytes);
[[nodiscard]] std::optional<work_result> parse_result(std::string_view bytes);
[[nodiscard]] std::optional<verdict> parse_verdict(std::string_view bytes);

}  // namespace ufence::tool
