#include "ufence/container/chain.h"

#include <algorithm>
#include <new>
#include <utility>

#include "ufence/container/below.h"
#include "ufence/container/block.h"
#include "ufence/fence/timeline.h"
#include "ufence/fence/trace.h"

namespace ufence {

constinit const fence_type fence_chain::type_of_chains{
    .driver_name = "dma_fence_chain",
    .timeline_name = "unbound",
    .enable = &library_fence::enable,
    .end = &library_fence::end,
    .release = &fence_chain::release,
    .child = &fence_chain::child_of,
    .before = &fence_chain::walk};

const backend_ops fence_chain::ops_of_chains{.enable_signaling = &fence_chain::enable,
                                             .poll = &fence_chain::poll,
                                             .set_deadline = &fence_chain::forward_deadline};

fence_chain::fence_chain(fence_ref previous, fence_ref contained, std::uint64_t previous_point,
                         std::uint64_t place) noexcept
    : backend{&ops_of_chains},
      previous_(previous.release()),
      contained_(contained.release()),
      previous_point_(previous_point),
      place_(place) {
  listed_.set_function(&fence_chain::on_contained);
  listed_.chain = this;
}

result<fence_ref> fence_chain::create(const fence_ref& previous, const fence_ref& contained,
                                      std::uint64_t point) noexcept {
  if (!contained) return failure(EINVAL);
  result<room> memory = reserve();
  if (!memory) return std::unexpected(memory.error());
  return create(std::move(*memory), previous, contained, point);
}

result<fence_ref> fence_chain::create(fence_ref&& previous, fence_ref&& contained,
                                      std::uint64_t point) noexcept {
  if (!contained) return failure(EINVAL);
  result<room> memory = reserve();
  if (!memory) return std::unexpected(memory.error());
  return create(std::move(*memory), std::move(previous), std::move(contained), point);
}

result<fence_chain::room> fence_chain::reserve() noexcept {
  rcu::reclaim();
  void* memory = detail::allocate_block(sizeof(fence_chain));
  if (memory == nullptr) return failure(ENOMEM);
  return room(memory);
}

fence_chain::room::~room() {
  if (memory_ != nullptr) detail::free_block(memory_, sizeof(fence_chain));
}

fence_ref fence_chain::create(room memory, fence_ref previous, fence_ref contained,
                              std::uint64_t point) noexcept {
  const fence_chain* before = previous ? from(*previous) : nullptr;
  const std::uint64_t previous_point = before != nullptr ? before->seqno() : 0;
  const bool joins = before != nullptr && is_later(point, previous_point);
  const std::uint64_t context = joins ? before->context() : fence::allocate_contexts(1);
  const std::uint64_t place = before != nullptr ? before->place_ + 1 : 1;
  auto* chain = ::new (std::exchange(memory.memory_, nullptr))
      fence_chain(std::move(previous), std::move(contained), joins ? previous_point : 0, place);
  chain->init(type_of_chains, context, joins ? point : std::max(previous_point, point), chain);
  if (trace::is_recording()) [[unlikely]] {
    if (before != nullptr) trace::record_dependency(*chain, *before);
    // relaxed: nobody else knows the chain yet
    trace::record_dependency(*chain, *chain->contained_.load(mo::relaxed));
  }
  return fence_ref::adopt(chain);
}

fence_ref fence_chain::child_of(fence& f, std::uint32_t i) noexcept {
  return i == 0 ? fence_ref::take(static_cast<fence_chain&>(f).contained()) : nullptr;
}

// The nodes before this one end after it: the queue of ending fences keeps the stack flat.
void fence_chain::release(fence& f) noexcept {
  auto& chain = static_cast<fence_chain&>(f);
  // relaxed, as below: the last reference is gone
  if (fence* before = chain.previous_.load(mo::relaxed)) before->put();
  fence& contained = *chain.contained_.load(mo::relaxed);
  chain.contained_.store(nullptr, mo::relaxed);
  contained.put();
  if (chain.has_failed()) {
    fence_ref failed;
    const scoped_lock hold(chain.failed_lock_);
    failed = std::move(chain.failed_);
  }
  // Nobody has a reference, but RCU readers may still follow previous_ and look at the count.
  rcu::defer_memory(chain.listed_, sizeof(fence_chain), [](rcu::deferred* d) noexcept {
    fence_chain* memory = static_cast<list_nodes*>(d)->chain;
    memory->~fence_chain();
    detail::free_block(memory, sizeof(fence_chain));
  });
}

// --- Walking ---

// The fence at or before `from` that is not signaled, or null; or, to keep the read section short,
// one that is. Notes the failures of those in between.
fence_ref fence_chain::skip_signaled(fence& from_here) noexcept {
  constexpr int many = 64;
  fence_ref at = fence_ref::take(from_here);
  for (int skipped = 0; at && skipped < many && contained_in(*at).is_signaled(); ++skipped) {
    fence_chain* node = from(*at);
    fence_ref before = node != nullptr ? fence::get_rcu(node->previous_) : fence_ref();
    // Nodes that left from between these two have left their failures in this one.
    note_unlinked(*at);
    at = std::move(before);
  }
  return at;
}

// `before` is signaled. It leaves, with those before it that are, unless it has left already.
void fence_chain::unlink(fence& before) noexcept {
  fence_ref further;
  {
    const rcu::read_section section;
    further = skip_signaled(before);
  }
  fence* expected = &before;
  // [CHAIN.1] release: the failures that were noted, before the link. What it was changed to before
  // was seen when it was followed: it never gets a value twice; pairs with [FENCE.14]
  if (!previous_.compare_exchange(expected, further.get(), mo::release, mo::relaxed)) return;
  static_cast<void>(further.release());
  before.put();  // the link's until now
}

fence_ref fence_chain::walk(fence& f) noexcept {
  fence_chain* chain = from(f);
  if (chain == nullptr) return nullptr;
  for (;;) {
    fence_ref before;
    {
      const rcu::read_section section;
      before = fence::get_rcu(chain->previous_);
    }
    if (!before || !contained_in(*before).is_signaled()) return before;
    chain->unlink(*before);
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
    // In this order: a child of fork() may find it half done.
    failed_place_ = place;
    old = std::exchange(failed_, fence_ref::take(failed));
    // relaxed: has_failed()
    has_failed_.store(true, mo::relaxed);
  }
}

// `before` is about to be unlinked from this node.
void fence_chain::note_unlinked(fence& before) noexcept {
  fence_chain* node = from(before);
  fence& own = contained_in(before);
  if (own.error() < 0) note_failed(own, node != nullptr ? node->place_ : 0);
  if (node == nullptr || !node->has_failed()) return;
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
    if (node->has_failed()) {
      const scoped_lock hold(node->failed_lock_);
      found = node->failed_;
    }
    at = std::move(before);
  }
  return found;
}

// --- Signaling ---

// Puts the callback on a contained fence of the chain that is pending. As the op says: 0 it did; 1
// there is none; -EOWNERDEAD there is one that was inherited through fork(), of which nothing will
// come.
int fence_chain::watch_next() noexcept {
  for (fence_ref at = fence_ref::take(*this); at; at = walk(*at)) {
    const std::error_code refused = contained_in(*at).add_callback(listed_);
    if (!refused) return 0;
    if (refused == errno_code(EOWNERDEAD)) return -EOWNERDEAD;
  }
  return 1;
}

int fence_chain::enable(backend* data) noexcept {
  auto& chain = *static_cast<fence_chain*>(data);
  chain.get();  // the callback's
  const int how = chain.watch_next();
  if (how != 0) chain.put();  // the caller has one
  return how;
}

void fence_chain::on_contained(callback& node, fence&) noexcept {
  fence_chain& chain = *static_cast<list_nodes&>(node).chain;
  const int how = chain.watch_next();
  if (how == 0) return;
  chain.signal(how);
  chain.put();
}

int fence_chain::poll(backend* data) noexcept {
  return detail::poll_below(*static_cast<fence_chain*>(data));
}

void fence_chain::forward_deadline(backend* data, std::int64_t deadline_ns) noexcept {
  detail::set_deadline_below(*static_cast<fence_chain*>(data), deadline_ns);
}

}  // namespace ufence
