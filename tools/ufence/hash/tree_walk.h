// Walks directory trees in the byte order of their files' paths, a directory at a time.
//
// Byte order of whole paths is not the order of names level by level: "a.txt" comes before "a/x"
// because '.' is less than '/'. Hence a directory sorts as its name with a '/' behind it, and files
// and directories of one level are visited interleaved. What is in memory is one level of names for
// each directory on the way from the root to the current file.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ufence/base/fd.h"
#include "ufence/base/result.h"

namespace ufence::tool {

/// An object that hears of what a walk passes by.
class walk_observer {
 public:
  virtual ~walk_observer() = default;
  /// A link, FIFO, socket or device inside a tree.
  virtual void skipped() = 0;
  /// A directory, or an argument, that can't be visited.
  virtual void failed(std::string_view path, std::string_view text) = 0;
  /// Asked for each directory: false ends the walk.
  [[nodiscard]] virtual bool goes_on() const = 0;
};

/// An open directory, for as long as a file in it may have to be opened.
using shared_directory = std::shared_ptr<const unique_fd>;

/// The files below one root, or the root itself if it is a file. Links inside the tree are not
/// followed; a root is, since it was named. Threads: one.
class tree_walk {
 public:
  tree_walk(std::string root, walk_observer& observer);

  /// Moves to the next file; false at the end, or when the observer said so. Its path is later than
  /// the one before.
  bool next();
  [[nodiscard]] bool has_begun() const { return has_begun_; }
  /// The current file as `find ROOT -type f` prints it; before the first, the root: no path is
  /// less.
  [[nodiscard]] const std::string& path() const { return path_; }
  /// The directory that the current file is to be opened in; null: the working directory.
  [[nodiscard]] const shared_directory& directory() const;
  /// Where in path() the name begins that it has there.
  [[nodiscard]] std::size_t name_begin() const;
  /// The current file is the root itself: if it is a link, it is followed.
  [[nodiscard]] bool is_root() const { return levels_.empty(); }

 private:
  struct entry {
    std::uint32_t name, length;  // in level::names
    bool is_directory;
  };
  struct level {
    shared_directory fd;  // null: closed to save descriptors, reopened on the way back
    dev_t device = 0;     // of a closed one
    ino_t inode = 0;
    std::size_t path_length;  // of path_ up to and with the '/'
    std::string names;
    std::vector<entry> entries;
    std::size_t next = 0;
  };

  bool begin();
  void enter(shared_directory directory);
  void leave();
  void list(level& into);
  void add(level& into, std::string_view name, unsigned char type);
  void park_far_level();
  void reopen(level& parent, const shared_directory& child);
  void failed(int errno_value) { failed(path_, errno_value); }
  void failed(std::string_view path, int errno_value);
  static bool sorts_before(const level& in, const entry& a, const entry& b);

  walk_observer& observer_;
  std::string path_;
  std::vector<level> levels_;
  std::unique_ptr<std::byte[]> buffer_;
  bool has_begun_ = false;
};

/// Several roots as one sequence of files in byte order of paths, or one root after the other; a file
/// that lies below two of them comes twice. A root is opened when its turn comes. Threads: one.
class input_walk {
 public:
  /// @param keeps_order  of the roots
  input_walk(std::span<const std::string> roots, bool keeps_order, walk_observer& observer);

  bool next();
  /// The walk that stands at the current file.
  [[nodiscard]] const tree_walk& current() const { return *current_; }

 private:
  struct place {
    std::size_t rank;  // of the root, or 0 for all
    std::unique_ptr<tree_walk> walk;
  };
  static bool is_later(const place& a, const place& b);
  void queue(place one);

  std::vector<place> queue_;  // a heap, least rank and then least path first
  std::size_t current_rank_ = 0;
  std::unique_ptr<tree_walk> current_;
};

}  // namespace ufence::tool
