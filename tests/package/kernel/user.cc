// The same fence through the kernel's headers and through ufence's own.
#include <linux/dma-fence.h>

#include <cerrno>
#include <cstdlib>

#include "ufence/fence/fence.h"

namespace {

const char* name(dma_fence*) { return "cpp"; }

constexpr dma_fence_ops ops{name, name, nullptr, nullptr, nullptr, nullptr, nullptr};

}  // namespace

int main() {
  auto* f = static_cast<dma_fence*>(std::calloc(1, sizeof(dma_fence)));
  if (f == nullptr) return 1;
  dma_fence_init(f, &ops, nullptr, dma_fence_context_alloc(1), 5);
  auto& native = *reinterpret_cast<ufence::fence*>(f);
  if (native.seqno() != 5 || native.is_signaled() || native.is_independent()) return 1;
  dma_fence_set_error(f, -EIO);
  dma_fence_signal(f);
  const bool is_right = !native.wait() && native.status() == -EIO && f->error == -EIO &&
                        native.timestamp_ns() == f->timestamp;
  dma_fence_put(f);
  return is_right ? 0 : 1;
}
