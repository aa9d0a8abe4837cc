#include <linux/sync_file.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>

#include "ufence/base/alloc.h"
#include "ufence/kernel/interop.h"
#include "ufence/kernel/kernel_fence.h"
#include "ufence/rcu/rcu.h"
#include "ufence/sync/sync_file.h"

namespace {

// All files are those of sync files.
void end(file* f) noexcept {
  auto* sync =
      reinterpret_cast<sync_file*>(reinterpret_cast<char*>(f) - offsetof(sync_file, ufence_file));
  close(f->ufence_fd);
  dma_fence_put(sync->fence);
  ufence::deallocate(sync);
}

}  // namespace

// --- Files ---

int get_unused_fd_flags(unsigned int flags) {
  const int fd = eventfd(0, (flags & O_CLOEXEC) != 0 ? EFD_CLOEXEC : 0);
  return fd < 0 ? -errno : fd;
}

void put_unused_fd(unsigned int fd) { close(static_cast<int>(fd)); }

void fd_install(unsigned int fd, file* f) {
  const int number = static_cast<int>(fd);
  const int is_cloexec = fcntl(number, F_GETFD);
  if (dup3(f->ufence_fd, number, (is_cloexec & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0) < 0) {
    ufence::warn("fd_install() of a number that is not kept for it");
  }
  end(f);
}

void fput(file* f) { end(f); }

// --- Sync files ---

sync_file* sync_file_create(dma_fence* fence) {
  auto* made = static_cast<sync_file*>(ufence::allocate(sizeof(sync_file)));
  if (made == nullptr) return nullptr;
  *made = {};
  made->fence = dma_fence_get(fence);
  made->file = &made->ufence_file;
  made->ufence_file.ufence_fd = -1;
  char name[sizeof(made->user_name)];
  sync_file_get_name(made, name, sizeof(name));
  auto fd = ufence::sync_file_create(ufence::to_fence(*fence), name);
  if (!fd) {
    dma_fence_put(fence);
    ufence::deallocate(made);
    return nullptr;
  }
  made->ufence_file.ufence_fd = fd->release();
  return made;
}

dma_fence* sync_file_get_fence(int fd) {
  const auto found = ufence::sync_file_get_fence(fd);
  return found ? ufence::to_dma_fence(*found) : nullptr;
}

char* sync_file_get_name(sync_file* sync, char* buf, int len) {
  const auto size = static_cast<size_t>(len);
  if (sync->user_name[0] != '\0') {
    std::snprintf(buf, size, "%s", sync->user_name);
    return buf;
  }
  dma_fence* f = sync->fence;
  const ufence::op_section section(*f);
  std::snprintf(buf, size, "%s-%s%llu-%lld", dma_fence_driver_name(f), dma_fence_timeline_name(f),
                static_cast<unsigned long long>(f->context), static_cast<long long>(f->seqno));
  return buf;
}
