#include "tools/ufence/run/job_issuer.h"

#include <cerrno>
#include <new>
#include <utility>

namespace ufence::tool {

job_issuer::~job_issuer() = default;

void job_issuer::use(std::unique_ptr<instance> fresh) {
  const std::size_t slot = index_of(fresh->which);
  if (queues_ != nullptr && fresh->device && queues_->use(fresh->which, fresh->device)) {
    throw std::bad_alloc();
  }
  if (current_[slot]) replaced_.push_back(std::move(current_[slot]));
  current_[slot] = std::move(fresh);
  available_[slot] = true;
  sweep();
}

// Forgets the replaced instances that nobody refers to any more.
void job_issuer::sweep() {
  std::erase_if(replaced_, [](const std::unique_ptr<instance>& i) { return !i->has_fences(); });
}

result<issued_fence> job_issuer::submit(driver d, const job_request& request, std::size_t client) {
  if (!is_available(d)) return failure(ENODEV);
  instance& i = *current_[index_of(d)];
  const bool is_queued = queues_ != nullptr && queues_->has(d);
  result<fence_ref> f = is_queued ? queues_->push(d, client, request) : i.device->submit(request);
  if (!f) {
    if (f.error() == errno_code(ENODEV)) available_[index_of(d)] = false;
    return std::unexpected(f.error());
  }
  return adopt(*std::move(f), i);
}

issued_fence job_issuer::adopt(fence_ref f, instance& from) {
  ++fences_issued_;
  if (from.refer()) ++fences_born_late_;
  return issued_fence{.fence = std::move(f), .from = &from};
}

std::uint64_t job_issuer::retire(driver d) {
  available_[index_of(d)] = false;
  instance& i = *current_[index_of(d)];
  i.is_gone = true;
  return i.note_unmapped();
}

void job_issuer::note_awaited(issued_fence& f) {
  if (f.is_awaited) return;
  f.is_awaited = true;
  ++fences_awaited_;
}

void job_issuer::drop(issued_fence& f) {
  if (!f) return;
  if (holds_) {
    const int error = f.fence->error();
    held_.push_back({.fence = std::move(f.fence), .from = f.from, .error = error});
  } else {
    f.fence.reset();
    f.from->forget();
  }
  f = {};
}

bool job_issuer::was_cancelled_by_unload(const issued_fence& f, int error) {
  const bool is_cancel = error == -ECANCELED || error == -ENODEV || error == -ESHUTDOWN ||
                         error == -ETIMEDOUT;  // it was late, and its module replaced
  // relaxed: see instance
  return is_cancel && f.from->is_unloading.load(mo::relaxed);
}

}  // namespace ufence::tool
