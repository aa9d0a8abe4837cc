#include "ufence/module/file_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <new>
#include <set>
#include <string_view>
#include <utility>

#include "ufence/base/clock.h"
#include "ufence/base/fd.h"
#include "ufence/module/file_stamp.h"

namespace ufence {
namespace {

using detail::file_stamp;

// Folders may go and come, and links may lead elsewhere: what is watched is looked after so often.
constexpr std::int64_t look_again_ns = 500'000'000;
constexpr std::uint32_t what_happens_to_files = IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB | IN_CREATE |
                                                IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE;

struct watched_file {
  std::string path;
  file_stamp told;  // as it was when it was told last; not known: it was not there
};

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}
std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

int milliseconds_until(std::int64_t deadline_ns) noexcept {
  const std::int64_t left_ms = (deadline_ns - now_ns() + 999'999) / 1'000'000;
  return static_cast<int>(std::clamp<std::int64_t>(left_ms, 0, INT_MAX));
}

}  // namespace

struct file_watch::impl {
  std::vector<watched_file> files;
  std::int64_t settle_ns = 0;
  unique_fd events, stops;
  std::set<std::string> names;  // of the files, and of those that links lead to

  // Adding a folder again changes nothing. One that is not there is looked for again later.
  void watch_folders() {
    for (const watched_file& f : files) {
      watch(f.path);
      char* const target = ::realpath(f.path.c_str(), nullptr);
      if (target == nullptr) continue;
      const std::string resolved = target;
      std::free(target);
      watch(resolved);
    }
  }
  void watch(const std::string& path) {
    ::inotify_add_watch(events.get(), folder_of(path).c_str(), what_happens_to_files | IN_ONLYDIR);
    names.insert(name_of(path));
  }

  // Takes what has happened; true: to one of the files, or to what nobody can tell.
  bool take_events() {
    alignas(inotify_event) std::array<char, 16384> buffer;
    bool is_ours = false;
    for (;;) {
      const ssize_t got = ::read(events.get(), buffer.data(), buffer.size());
      if (got <= 0) return is_ours;
      for (ssize_t at = 0; at < got;) {
        inotify_event event;
        std::memcpy(&event, buffer.data() + at, sizeof event);
        const char* const name = buffer.data() + at + sizeof event;
        is_ours |= (event.mask & (IN_Q_OVERFLOW | IN_IGNORED)) != 0 ||
                   (event.len != 0 && names.contains(name));
        at += static_cast<ssize_t>(sizeof event + event.len);
      }
    }
  }

  // A file that is there, and is not what was told.
  [[nodiscard]] watched_file* find_changed() {
    for (watched_file& f : files) {
      const file_stamp now = detail::stamp_of(f.path.c_str());
      if (!now.is_known() || (now.id == f.told.id && now.is_same_content(f.told))) continue;
      return &f;
    }
    return nullptr;
  }
};

file_watch::file_watch(std::unique_ptr<impl> made) noexcept : impl_(std::move(made)) {}
file_watch::~file_watch() = default;

result<std::unique_ptr<file_watch>> file_watch::create(std::vector<std::string> paths,
                                                       std::int64_t settle_ns) try {
  if (paths.empty()) return failure(EINVAL);
  auto made = std::make_unique<impl>();
  made->settle_ns = settle_ns;
  made->events.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!made->events) return failure(errno);
  made->stops.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!made->stops) return failure(errno);
  for (std::string& path : paths) made->files.push_back({.path = std::move(path), .told = {}});
  made->watch_folders();
  for (watched_file& f : made->files) f.told = detail::stamp_of(f.path.c_str());
  return std::unique_ptr<file_watch>(new file_watch(std::move(made)));
} catch (const std::bad_alloc&) {
  return failure(ENOMEM);
}

result<std::size_t> file_watch::wait(absolute_deadline deadline_ns) try {
  impl& w = *impl_;
  const watched_file* changed = nullptr;  // and waits until it has settled
  std::int64_t settled_at_ns = 0;
  for (;;) {
    w.watch_folders();
    if (watched_file* const f = w.find_changed(); f == nullptr) {
      changed = nullptr;
    } else if (changed != f) {
      changed = f;
      settled_at_ns = deadline_after(w.settle_ns);
    } else if (now_ns() >= settled_at_ns) {
      f->told = detail::stamp_of(f->path.c_str());
      return static_cast<std::size_t>(f - w.files.data());
    }
    const std::int64_t until_ns =
        std::min<std::int64_t>({deadline_ns, deadline_after(look_again_ns), changed != nullptr ? settled_at_ns : no_deadline});
    std::array<pollfd, 2> wakes{{{.fd = w.stops.get(), .events = POLLIN, .revents = 0},
                                 {.fd = w.events.get(), .events = POLLIN, .revents = 0}}};
    ::poll(wakes.data(), wakes.size(), milliseconds_until(until_ns));
    if ((wakes[0].revents & POLLIN) != 0) return failure(ECANCELED);
    if (w.take_events()) settled_at_ns = deadline_after(w.settle_ns);
    if (now_ns() >= deadline_ns) return failure(ETIME);
  }
} catch (const std::bad_alloc&) {
  return failure(ENOMEM);
}

void file_watch::stop() noexcept {
  const std::uint64_t one = 1;
  static_cast<void>(!::write(impl_->stops.get(), &one, sizeof one));
}

}  // namespace ufence
