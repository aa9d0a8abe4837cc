#include "tools/net/job/block_sender.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "tools/net/job/blocks.h"

namespace ufence::tool {
namespace {

// No room: until workers have taken some.
constexpr std::chrono::milliseconds no_room_pause{1};

}  // namespace

block_sender::block_sender(bus& server) : server_(server), thread_([this] { run(); }) {}

block_sender::~block_sender() {
  {
    const std::lock_guard hold(lock_);
    is_over_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void block_sender::begin(std::uint64_t claim, std::uint64_t attempt, const std::string& path) {
  auto made = std::make_unique<file>();
  made->claim = claim;
  made->attempt = attempt;
  made->fd.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status {};
  if (!made->fd || ::fstat(made->fd.get(), &status) != 0) {
    made->error = -errno;
  } else if (!S_ISREG(status.st_mode)) {
    made->error = -EOPNOTSUPP;
  }
  {
    const std::lock_guard hold(lock_);
    fresh_.push_back(std::move(made));
  }
  changed_.notify_one();
}

void block_sender::drop(std::uint64_t claim) {
  {
    const std::lock_guard hold(lock_);
    dropped_.push_back(claim);
  }
  changed_.notify_one();
}

void block_sender::run() {
  std::vector<std::unique_ptr<file>> files;
  bool is_stuck = false;
  for (;;) {
    std::vector<std::uint64_t> dropped;
    {
      std::unique_lock hold(lock_);
      const auto has_news = [this] { return is_over_ || !fresh_.empty() || !dropped_.empty(); };
      if (files.empty()) {
        changed_.wait(hold, has_news);
      } else if (is_stuck) {
        changed_.wait_for(hold, no_room_pause, has_news);
      }
      if (is_over_) return;
      for (auto& one : fresh_) files.push_back(std::move(one));
      fresh_.clear();
      dropped.swap(dropped_);
    }
    for (const std::uint64_t claim : dropped) {
      std::erase_if(files, [claim](const auto& one) { return one->claim == claim; });
      server_.purge_blocks(claim);
    }
    is_stuck = true;
    std::erase_if(files, [&](const auto& one) {
      const progress how = send_one(*one);
      if (how != progress::none) is_stuck = false;
      return how == progress::all;
    });
  }
}

block_sender::progress block_sender::send_one(file& one) {
  if (one.message.empty()) fill(one);
  // A block that was not told to be stored may have been: then it comes twice.
  if (server_.send_block(one.claim, one.message)) return progress::none;
  one.message.clear();
  return one.is_last ? progress::all : progress::some;
}

void block_sender::fill(file& one) {
  buffer_.resize(server_.block_bytes_max() - block_head_bytes);
  ssize_t n = 0;
  if (one.error == 0) {
    do {
      n = ::pread(one.fd.get(), buffer_.data(), buffer_.size(), static_cast<off_t>(one.offset));
    } while (n < 0 && errno == EINTR);
    if (n < 0) one.error = -errno;
  }
  const auto size = static_cast<std::size_t>(std::max<ssize_t>(n, 0));
  one.message =
      block_message(one.attempt, one.offset, std::string_view(buffer_.data(), size), one.error);
  one.offset += size;
  one.is_last = size == 0;
}

}  // namespace ufence::tool
