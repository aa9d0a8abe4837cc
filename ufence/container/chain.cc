#include "ufence/container/chain.h"

#include <algorithm>
#include <new>
#include <utility>

#include "ufence/base/alloc.h"
#include "ufence/container/unwrap.h"
#include "ufence/fence/timeline.h"

namespace ufence {

const embedded_type fence_chain::type_of_chains{
    .driver_name = "dma_fence_chain", .timeline_name = "unbound", .release = &fence_chain::release};

const backend_ops fence_chain::ops_of_chains{.enable_signaling = &fence_chain::enable,
                                             .poll = &fence_chain::poll,
                                             .set_deadline = &fence_chain::forward_deadline};

fence_chain::fence_chain(const fence_ref& previous, const fence_ref& contained,
                         std::uint64_t previous_point, std::uint64_t place) noexcept
    : embedded_fence(type_of_chains),
      backend{&ops_of_chains},
      previous_(fence_ref(previous).release()),
      previous_point_(previous_point),
      place_(place),
      contained_(fence_ref(contained).release()) {
  watcher_.set_function(&fence_chain::on_contained);
  watcher_.chain = this;
}

result<fence_ref> fence_chain::create(const fence_ref& previous, const fence_ref& contained,
                                      std::uint64_t point) noexcept {
  if (!contained) return failure(EINVAL);
  result<room> memory = reserve();
  if (!memory) return std::unexpected(memory.error());
  return create(std::move(*memory), previous, contained, point);
}

result<fence_chain::room> fence_chain::reserve() noexcept {
  rcu::reclaim();
  void* memory = allocate_aligned(preferred_alignment, sizeof(fence_chain));
  if (memory == nullptr) return failure(ENOMEM);
  return room(memory);
}

fence_chain::room::~room() {
  if (memory_ != nullptr) deallocate(memory_);
}

fence_ref fence_chain::create(room memory, const fence_ref& previous, const fence_ref& contained,
                              std::uint64_t point) noexcept {
  fence_chain* before = previous ? from(*previous) : nullptr;
  const bool joins = before != nullptr && is_later(point, before->seqno());
  auto* chain = ::new (std::exchange(memory.memory_, nullptr)) fence_chain(
      previous, contained, joins ? before->seqno() : 0, before != nullptr ? before->place_ + 1 : 1);
  if (joins) {
    chain->init(before->context(), point, chain);
  } else {
    const std::uint64_t first = before != nullptr ? std::max(before->seqno(), point) : point;
    chain->init(fence::allocate_contexts(1), first, chain);
  }
  return fence_ref::adopt(chain);
}

fence_chain* fence_chain::from(fence& f) noexcept {
  return is_of(f, type_of_chains) ? static_cast<fence_chain*>(&f) : nullptr;
}

fence& fence_chain::contained_in(fence& f) noexcept {
  fence_chain* chain = from(f);
  return chain != nullptr ? chain->contained() : f;
}

// The nodes before this one end after it: the queue of ending fences keeps the stack flat.
void fence_chain::release(embedded_fence& f) noexcept {
  auto& chain = static_cast<fence_chain&>(f);
  fence_ref failed;
  // relaxed, as below: the last reference is gone
  if (fence* before = chain.previous_.load(mo::relaxed)) before->put();
  chain.contained_.exchange(nullptr, mo::relaxed)->put();
  {
    const scoped_lock hold(chain.failed_lock_);
    failed = std::move(chain.failed_);
  }
  // Nobody has a reference, but RCU readers may still follow previous_ and look at the count.
  rcu::defer(chain, [](rcu::deferred* d) noexcept {
    auto* memory = static_cast<fence_chain*>(d);
    memory->~fence_chain();
    deallocate(memory);
  });
}

// --- Walking ---

fence_ref fence_chain::walk(fence& f) noexcept {
  fence_chain* chain = from(f);
  if (chain == nullptr) return nullptr;
  for (;;) {
    fence_ref before;
    fence_ref further;
    {
      const rcu::read_section section;
      before = fence::get_rcu(chain->previous_);
      if (!before || !contained_in(*before).is_signaled()) return before;
      if (fence_chain* node = from(*before)) further = fence::get_rcu(node->previous_);
    }
    chain->note_unlinked(*before);
    fence* expected = before.get();
    // [CHAIN.1] acq_rel: the node further back, and the failure that was noted, before the link;
    // pairs with [CHAIN.2]
    if (chain->previous_.compare_exchange(expected, further.get(), mo::acq_rel, mo::relaxed)) {
      static_cast<void>(further.release());  // the link's now
      before->put();                         // the link's until now
    }
  }
}

std::error_code fence_chain::find_seqno(fence_ref& f, std::uint64_t point) noexcept {
  if (point == 0) return {};
  fence_chain* last = f ? from(*f) : nullptr;
  if (last == nullptr || is_later(point, last->seqno())) return errno_code(EINVAL);
  const std::uint64_t context = last->context();
  while (f) {
    fence_chain* node = from(*f);
    if (node == nullptr || node->context() != context || is_later(point, node->previous_point_))
      break;
    f = walk(*node);
  }
  return {};
}

// --- Failures ---

void fence_chain::note_failed(fence& failed, std::uint64_t place) noexcept {
  fence_ref old;
  {
    const scoped_lock hold(failed_lock_);
    if (failed_ && failed_place_ <= place) return;
    old = std::exchange(failed_, fence_ref::take(failed));
    failed_place_ = place;
  }
}

// `before` is about to be unlinked from this node.
void fence_chain::note_unlinked(fence& before) noexcept {
  fence_chain* node = from(before);
  fence& own = contained_in(before);
  if (own.error() < 0) note_failed(own, node != nullptr ? node->place_ : 0);
  if (node == nullptr) return;
  fence_ref inherited;
  std::uint64_t place = 0;
  {
    const scoped_lock hold(node->failed_lock_);
    inherited = node->failed_;
    place = node->failed_place_;
  }
  if (inherited) note_failed(*inherited, place);
}

fence_ref fence_chain::first_failed() noexcept {
  fence_ref found;
  fence_ref at = fence_ref::take(*this);
  while (at) {
    // Further back is earlier.
    if (contained_in(*at).error() < 0) found = fence_ref::take(contained_in(*at));
    fence_chain* node = from(*at);
    if (node == nullptr) break;
    fence_ref before = walk(*node);
    const scoped_lock hold(node->failed_lock_);
    if (node->failed_) found = node->failed_;
    at = std::move(before);
  }
  return found;
}

// --- Signaling ---

// Puts the callback on a contained fence of the chain that is pending. False: there is none.
bool fence_chain::watch_next() noexcept {
  for (fence_ref at = fence_ref::take(*this); at; at = walk(*at)) {
    fence& f = contained_in(*at);
    const std::error_code refused = f.add_callback(watcher_);
    if (!refused || refused == errno_code(EOWNERDEAD)) return true;
  }
  return false;
}

int fence_chain::enable(backend* data) noexcept {
  auto& chain = *static_cast<fence_chain*>(data);
  chain.get();  // the callback's
  if (chain.watch_next()) return 0;
  chain.put();  // the caller has one
  return 1;
}

void fence_chain::on_contained(callback& node, fence&) noexcept {
  fence_chain& chain = *static_cast<watcher&>(node).chain;
  if (chain.watch_next()) return;
  chain.complete_embedded(0);
  chain.put();
}

int fence_chain::poll(backend* data) noexcept {
  auto& chain = *static_cast<fence_chain*>(data);
  chain.enable_signaling();
  leaves below(fence_ref::take(chain));
  while (fence* leaf = below.next()) leaf->poll();
  return 0;  // what is complete signals through the callback
}

void fence_chain::forward_deadline(backend* data, std::int64_t deadline_ns) noexcept {
  leaves below(fence_ref::take(*static_cast<fence_chain*>(data)));
  while (fence* leaf = below.next()) leaf->set_deadline(deadline_ns);
}

}  // namespace ufence
