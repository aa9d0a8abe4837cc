#include "ufence/module/checked_files.h"

#include <time.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <new>
#include <utility>

#include "ufence/base/lock.h"

namespace ufence::detail {
namespace {

struct noted {
  file_stamp stamp;
  std::shared_ptr<const checked_file> found;
};

using noted_files = std::array<noted, 8>;

// Never destroyed: modules may be loaded while the process ends.
struct checked_list {
  mutex lock{lock_rank::leaf};
  noted_files* files UFENCE_GUARDED_BY(lock) = nullptr;
  std::size_t next UFENCE_GUARDED_BY(lock) = 0;
};
constinit checked_list checked;

// Times of files advance in steps: of milliseconds with most file systems, of two seconds with the coarsest.
bool may_change_unseen(const file_stamp& stamp) noexcept {
  constexpr std::int64_t settled_ns = 3'000'000'000;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const std::int64_t now_ns = std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  return stamp.changed_ns > now_ns - settled_ns || stamp.modified_ns > now_ns - settled_ns;
}

}  // namespace

std::shared_ptr<const checked_file> find_checked(const file_stamp& now) noexcept {
  const scoped_lock hold(checked.lock);
  if (checked.files == nullptr) return nullptr;
  const auto found = std::ranges::find(*checked.files, now, &noted::stamp);
  return found != checked.files->end() ? found->found : nullptr;
}

void note_checked(const file_stamp& stamp, std::shared_ptr<const checked_file> found) noexcept {
  if (!stamp.is_known() || may_change_unseen(stamp)) return;
  const scoped_lock hold(checked.lock);
  if (checked.files == nullptr) checked.files = new (std::nothrow) noted_files;
  if (checked.files == nullptr) return;
  noted_files& files = *checked.files;
  const auto same = std::ranges::find(files, stamp.id, [](const noted& n) { return n.stamp.id; });
  noted& place = same != files.end() ? *same : files[checked.next++ % files.size()];
  place.stamp = stamp;
  place.found.swap(found);  // what it replaces is freed without the lock
}

}  // namespace ufence::detail
