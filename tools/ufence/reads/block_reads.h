// The readers of the blocks of files: the module `uring` of this process, or the one of a reader
// process.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <system_error>

#include "tools/ufence/hash/tree_walk.h"
#include "tools/ufence/reads/block_pool.h"
#include "tools/ufence/run/job_issuer.h"
#include "ufence/base/clock.h"
#include "ufence/base/result.h"

namespace ufence::tool {

class file_hash;

/// Which file.
struct file_location {
  shared_directory directory;  // null: the working directory
  const char* name;            // relative to it; stays until the file is finished
  bool follows_link;
  std::uint64_t size_hint;  // as stat() said
  std::size_t client = 0;   // who wants it
};

/// The reads of one file. It stays until the last of them has ended.
class file_reads {
 public:
  file_reads() = default;
  virtual ~file_reads() = default;
  file_reads(const file_reads&) = delete;
  file_reads& operator=(const file_reads&) = delete;

  /// Submits the read of a block. The first block's comes first, and opens the file.
  /// @return  an empty one: it is under way, and its fence will be in the block when
  ///          read_service::take_news() says so; -ENODEV nobody can take it now: again after news;
  ///          or what goes for the file
  [[nodiscard]] virtual result<issued_fence> submit(block& b) = 0;
  /// Where the number of bytes is, once the read's fence is signaled without an error.
  [[nodiscard]] virtual const std::uint64_t& size_of(const block& b) const = 0;
  /// The read has ended without an error: tells the block how.
  /// @return  -EPROTO what was told makes no sense
  [[nodiscard]] virtual std::error_code take(block& b) = 0;
  /// The fence ended with this error because of its issuer, not because of the file.
  [[nodiscard]] virtual bool was_cut(const issued_fence& f, int error) const = 0;
  /// As it was when the file was opened.
  [[nodiscard]] virtual std::uint64_t file_size() const = 0;
};

/// Threads: the main one.
class read_service {
 public:
  read_service() = default;
  virtual ~read_service() = default;
  read_service(const read_service&) = delete;
  read_service& operator=(const read_service&) = delete;

  [[nodiscard]] virtual std::unique_ptr<file_reads> open(file_location where) = 0;

  // --- What only a reader process has ---

  /// Takes what it told into account; calls on_file for each file of which fences have come.
  /// @return  whether there was anything
  virtual bool take_news(const std::function<void(file_hash&)>& /*on_file*/) { return false; }
  /// Readable when there is something to take; -1: there never is.
  [[nodiscard]] virtual int news_fd() const { return -1; }
  /// When take_news() is to be called at the latest.
  [[nodiscard]] virtual std::int64_t news_at_ns() const { return no_deadline; }
  /// Why nothing can be read any more; or empty.
  [[nodiscard]] virtual std::string failure() const { return {}; }
};

}  // namespace ufence::tool
