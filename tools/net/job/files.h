// The files of a job in the order of their paths: handed out from the front, their sums written
// from the front.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "tools/ufence/cli/console.h"
#include "tools/ufence/hash/sum_line.h"
#include "tools/ufence/hash/sum_output.h"
#include "tools/ufence/hash/tree_walk.h"

namespace ufence::tool {

/// A file whose sum is not written yet.
struct job_file {
  enum class progress : std::uint8_t { waiting, claimed, hashed, dropped };

  std::uint64_t number = 0;
  std::string path;  // as it is printed
  std::uint64_t attempt = 1;
  progress state = progress::waiting;
  sha256_digest digest{};
};

/// Threads: one.
class job_files final : private walk_observer {
 public:
  job_files(const std::string& input, console& con, sum_output& out);

  /// @return  what realpath() and stat() say
  [[nodiscard]] std::error_code find_root();
  /// The folder that the workers share: the input, or the one that it lies in.
  [[nodiscard]] const std::string& root() const { return root_; }
  /// The path of a file below it.
  [[nodiscard]] std::string below_root(const job_file& one) const;

  /// The next one of the walk; null: there is none, or too many are under way. It stays where it
  /// is.
  [[nodiscard]] job_file* next();
  /// Null: it was written, or there never was one.
  [[nodiscard]] job_file* find(std::uint64_t number);
  /// Calls f(file) for those that wait for a worker.
  template <class F>
  void for_each_waiting(F f) {
    for (job_file& one : files_) {
      if (one.state == job_file::progress::waiting) f(one);
    }
  }

  /// A worker has it.
  void claim(job_file& one);
  /// It has not any more: the file is to be handed out again.
  void give_back(job_file& one);
  void finish(job_file& one, const sha256_digest& digest, std::uint64_t bytes);
  void fail(job_file& one, int error);
  /// Writes the sums that are there, in order.
  void write_ready();

  [[nodiscard]] bool is_complete() const { return !has_more_ && files_.empty(); }
  [[nodiscard]] std::uint64_t hashed() const { return hashed_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::uint64_t skipped_count() const { return skipped_; }
  [[nodiscard]] std::size_t waiting() const { return waiting_; }

 private:
  void skipped() override { ++skipped_; }
  void failed(std::string_view path, std::string_view text) override {
    console_.problem(path, text);
  }
  [[nodiscard]] bool goes_on() const override;

  const std::vector<std::string> inputs_;
  console& console_;
  sum_output& output_;
  input_walk walk_;
  std::string root_;
  std::string only_name_;  // of an input that is a file
  bool has_more_ = true;
  std::deque<job_file> files_;
  std::uint64_t first_ = 0;  // the number of files_.front()
  std::size_t waiting_ = 0;
  std::uint64_t hashed_ = 0, bytes_ = 0, skipped_ = 0;
};

}  // namespace ufence::tool
