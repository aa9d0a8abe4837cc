#include "ufence/uapi/shares.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "ufence/io/reactor.h"
#include "ufence/sync/exported.h"
#include "ufence/sync/imported.h"

namespace ufence::uapi {
namespace {

// Each client may have so many of each without being asked about it.
constexpr std::size_t few = 16;
// The broker has so many for itself, and for calls that come and go.
constexpr std::size_t own_descriptors = 32;

std::size_t descriptor_limit() noexcept {
  rlimit limit{};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 1024;
}

// How many are open; 0 where the kernel does not say.
std::size_t open_descriptors() noexcept {
  struct stat s {};
  return ::stat("/proc/self/fd", &s) == 0 && s.st_size > 0 ? static_cast<std::size_t>(s.st_size)
                                                           : 0;
}

// Of all clients together.
std::uint64_t limit_of(resource what) noexcept {
  constexpr std::uint64_t objects_max = std::uint64_t{1} << 21;
  constexpr std::uint64_t bytes_min = std::uint64_t{1} << 28;
  if (what == resource::objects) return objects_max;
  // A connection costs a descriptor each: devices and files need them more.
  if (what == resource::connections) return std::min<std::uint64_t>(descriptor_limit() / 8, 1024);
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const auto half = static_cast<std::uint64_t>(std::max(pages, 0L)) / 2 *
                    static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return std::max(half, bytes_min);
}

}  // namespace

bool has_file(std::uint64_t cookie) noexcept {
  return detail::is_exported(cookie) || detail::is_imported(cookie);
}

// Then it has no more than it leaves to all others.
bool client::may_have(resource what, std::uint64_t count) const noexcept {
  const std::uint64_t limit = limit_of(what);
  const std::uint64_t used = all_->of(what);
  return used < limit && count <= limit - used && own_.of(what) + count <= limit - used - count;
}

void client::add_file(std::uint64_t cookie) {
  files_.push_back(cookie);
  change(resource::descriptors, 1);
}

void client::forget_files() noexcept {
  const auto gone =
      std::ranges::remove_if(files_, [](std::uint64_t cookie) { return !has_file(cookie); });
  change(resource::descriptors, -static_cast<std::ptrdiff_t>(gone.size()));
  files_.erase(gone.begin(), gone.end());
}

client_ref shares::client_of(pid_t process) {
  if (clients_.size() >= forget_at_) {
    std::erase_if(clients_, [](const auto& c) {
      c.second->forget_files();
      return c.second.use_count() == 1 && c.second->held() == 0;
    });
    forget_at_ = std::max(clients_.size() * 2, std::size_t{64});
  }
  client_ref& who = clients_[process];
  if (!who) who = std::make_shared<client>(all_);
  return who;
}

bool shares::may_take(client& who, std::size_t count) noexcept {
  if (who.held() + count <= few) return true;
  const auto is_enough = [&] {
    const std::size_t used =
        std::max(own_descriptors + all_->of(resource::descriptors), open_descriptors());
    const std::size_t limit = descriptor_limit();
    return used < limit && who.held() + count <= limit - used;
  };
  if (is_enough()) return true;
  // Files that were counted for it may have gone, or be closed on the other side already.
  static_cast<void>(detail::the_reactor.make_room(detail::the_reactor.closed_count()));
  for (const auto& [number, c] : clients_) c->forget_files();
  return is_enough();
}

}  // namespace ufence::uapi
