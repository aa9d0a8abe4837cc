#include "tools/ufence/hash/tree_walk.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <system_error>
#include <utility>

namespace ufence::tool {
namespace {

// Directories of the current path that stay open; those farther up are closed meanwhile.
constexpr std::size_t open_levels_max = 8;
constexpr std::size_t listing_bytes = 64UL * 1024;

constexpr int directory_flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK;

result<shared_directory> open_directory(int in, const char* name, int flags = 0) {
  unique_fd fd(::openat(in, name, directory_flags | flags));
  if (!fd) return failure(errno);
  return std::make_shared<const unique_fd>(std::move(fd));
}

unsigned char type_of(const struct stat& status) {
  return static_cast<unsigned char>(IFTODT(status.st_mode));
}

}  // namespace

tree_walk::tree_walk(std::string root, walk_observer& observer)
    : observer_(observer), path_(std::move(root)) {}

void tree_walk::failed(std::string_view path, int errno_value) {
  observer_.failed(path, std::generic_category().message(errno_value));
}

bool tree_walk::next() {
  if (!has_begun_) {
    has_begun_ = true;
    if (begin()) return true;
  }
  while (!levels_.empty()) {
    level& top = levels_.back();
    if (top.next == top.entries.size()) {
      leave();
      continue;
    }
    const entry& e = top.entries[top.next++];
    path_.resize(top.path_length);
    path_.append(top.names, e.name, e.length);
    if (!e.is_directory) return true;
    if (!observer_.goes_on()) return false;
    const char* const name = path_.c_str() + top.path_length;
    auto directory = open_directory(top.fd->get(), name, O_NOFOLLOW);
    if (directory) {
      enter(std::move(*directory));
    } else {
      failed(directory.error().value());
    }
  }
  return false;
}

// The root: true if it is a file, which then is the current one.
bool tree_walk::begin() {
  struct stat status {};
  if (::stat(path_.c_str(), &status) != 0) {
    failed(errno);
    return false;
  }
  if (S_ISREG(status.st_mode)) return true;
  if (!S_ISDIR(status.st_mode)) {
    observer_.failed(path_, "Not a regular file or directory");
    return false;
  }
  auto directory = open_directory(AT_FDCWD, path_.c_str());
  if (!directory) {
    failed(directory.error().value());
    return false;
  }
  enter(std::move(*directory));
  return false;
}

void tree_walk::enter(shared_directory directory) {
  if (path_.back() != '/') path_ += '/';
  levels_.push_back(
      {.fd = std::move(directory), .path_length = path_.size(), .names = {}, .entries = {}});
  level& entered = levels_.back();
  list(entered);
  std::ranges::sort(entered.entries,
                    [&](const entry& a, const entry& b) { return sorts_before(entered, a, b); });
  park_far_level();
}

void tree_walk::list(level& into) {
  if (!buffer_) buffer_ = std::make_unique<std::byte[]>(listing_bytes);
  for (;;) {
    const ssize_t filled = ::getdents64(into.fd->get(), buffer_.get(), listing_bytes);
    if (filled < 0) failed(errno);
    if (filled <= 0) return;
    for (ssize_t at = 0; at < filled;) {
      const auto* const found = reinterpret_cast<const dirent64*>(buffer_.get() + at);
      at += found->d_reclen;
      add(into, found->d_name, found->d_type);
    }
  }
}

void tree_walk::add(level& into, std::string_view name, unsigned char type) {
  if (name == "." || name == "..") return;
  if (type == DT_UNKNOWN) {
    struct stat status {};
    if (::fstatat(into.fd->get(), name.data(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      path_.resize(into.path_length);
      failed(path_ + std::string(name), errno);
      return;
    }
    type = type_of(status);
  }
  if (type != DT_REG && type != DT_DIR) {
    observer_.skipped();
    return;
  }
  into.entries.push_back({.name = static_cast<std::uint32_t>(into.names.size()),
                          .length = static_cast<std::uint32_t>(name.size()),
                          .is_directory = type == DT_DIR});
  into.names += name;
}

bool tree_walk::sorts_before(const level& in, const entry& a, const entry& b) {
  const char* const names = in.names.data();
  const std::size_t common = std::min(a.length, b.length);
  const int order = std::memcmp(names + a.name, names + b.name, common);
  if (order != 0) return order < 0;
  // The character that follows in the whole path: a byte of the name, the '/' of a directory, or the end.
  const auto following = [&](const entry& e) {
    if (common < e.length) return int{static_cast<unsigned char>(names[e.name + common])};
    return e.is_directory ? int{'/'} : -1;
  };
  return following(a) < following(b);
}

void tree_walk::leave() {
  const level left = std::move(levels_.back());
  levels_.pop_back();
  if (!levels_.empty() && !levels_.back().fd) reopen(levels_.back(), left.fd);
}

// Closes the directory that is open_levels_max above the current one.
void tree_walk::park_far_level() {
  if (levels_.size() <= open_levels_max) return;
  level& far = levels_[levels_.size() - 1 - open_levels_max];
  struct stat status {};
  if (!far.fd || ::fstat(far.fd->get(), &status) != 0) return;
  far.device = status.st_dev;
  far.inode = status.st_ino;
  far.fd.reset();
}

// Opens a closed directory again, from a child; if the child was moved meanwhile, what is left of
// the parent can't be visited.
void tree_walk::reopen(level& parent, const shared_directory& child) {
  if (parent.next == parent.entries.size() && levels_.size() == 1) return;
  auto directory = open_directory(child ? child->get() : -1, "..");
  struct stat status {};
  if (directory && ::fstat((*directory)->get(), &status) == 0 && status.st_dev == parent.device &&
      status.st_ino == parent.inode) {
    parent.fd = std::move(*directory);
    return;
  }
  observer_.failed(std::string_view(path_).substr(0, parent.path_length),
                   "Directory was moved while it was visited");
  parent.next = parent.entries.size();
}

const shared_directory& tree_walk::directory() const {
  static const shared_directory working_directory;
  return levels_.empty() ? working_directory : levels_.back().fd;
}

std::size_t tree_walk::name_begin() const {
  return levels_.empty() ? 0 : levels_.back().path_length;
}

input_walk::input_walk(std::span<const std::string> roots, bool keeps_order,
                       walk_observer& observer) {
  for (std::size_t rank = 0; rank < roots.size(); ++rank) {
    queue({keeps_order ? rank : 0, std::make_unique<tree_walk>(roots[rank], observer)});
  }
}

bool input_walk::is_later(const place& a, const place& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.walk->path() > b.walk->path();
}

void input_walk::queue(place one) {
  queue_.push_back(std::move(one));
  std::ranges::push_heap(queue_, &is_later);
}

bool input_walk::next() {
  if (current_ && current_->next()) queue({current_rank_, std::move(current_)});
  current_.reset();
  while (!queue_.empty()) {
    std::ranges::pop_heap(queue_, &is_later);
    place least = std::move(queue_.back());
    queue_.pop_back();
    if (least.walk->has_begun()) {
      current_rank_ = least.rank;
      current_ = std::move(least.walk);
      return true;
    }
    // Its root was a lower bound only; now its first path is known.
    if (least.walk->next()) queue(std::move(least));
  }
  return false;
}

}  // namespace ufence::tool
