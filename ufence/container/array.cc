#include "ufence/container/array.h"

#include <algorithm>
#include <new>
#include <utility>

#include "ufence/container/below.h"
#include "ufence/container/block.h"
#include "ufence/fence/trace.h"

namespace ufence {

constinit const fence_type fence_array::type_of_arrays{
    .driver_name = "dma_fence_array",
    .timeline_name = "unbound",
    .enable = &library_fence::enable,
    .end = &library_fence::end,
    .release = &fence_array::release,
    .child = &fence_array::child_of,
    .before = [](fence&) noexcept { return fence_ref(); }};

const backend_ops fence_array::ops_of_arrays{.enable_signaling = &fence_array::enable,
                                             .poll = &fence_array::poll,
                                             .set_deadline = &fence_array::forward_deadline};

fence_array::fence_array(array_mode mode, std::uint32_t size) noexcept
    : backend{&ops_of_arrays}, mode_(mode), size_(size) {}

std::size_t fence_array::bytes_before_nodes(std::size_t size) noexcept {
  static_assert(alignof(child_word) <= alignof(fence_array) &&
                alignof(node) <= alignof(child_word));
  return sizeof(fence_array) + size * sizeof(child_word);
}
std::size_t fence_array::bytes_for(std::size_t size) noexcept {
  return bytes_before_nodes(size) + size * sizeof(node);
}
fence_array::node* fence_array::nodes() const noexcept {
  return reinterpret_cast<node*>(reinterpret_cast<char*>(const_cast<fence_array*>(this)) +
                                 bytes_before_nodes(size_));
}

template <class Fences, class Reference>
result<fence_ref> fence_array::make(const Fences& fences, array_mode mode, std::uint64_t context,
                                    std::uint64_t seqno, Reference reference_of) noexcept {
  rcu::reclaim();
  void* memory = detail::allocate_block(bytes_for(fences.size()));
  if (memory == nullptr) return failure(ENOMEM);
  auto* array = ::new (memory) fence_array(mode, static_cast<std::uint32_t>(fences.size()));
  child_word* child = array->children();
  for (auto& f : fences) *child++ = reference_of(f).release();
  array->init(type_of_arrays, context, seqno, array);
  if (trace::is_recording()) [[unlikely]] {
    for (std::uint32_t i = 0; i < array->size_; ++i) {
      trace::record_dependency(*array, array->child(i));
    }
  }
  return fence_ref::adopt(array);
}

bool fence_array::are_valid(std::span<const fence_ref> fences) noexcept {
  if (fences.empty() || fences.size() > UINT32_MAX - 2) return false;
  return std::ranges::all_of(fences, [](const fence_ref& f) { return static_cast<bool>(f); });
}

result<fence_ref> fence_array::create(std::span<const fence_ref> fences, array_mode mode) noexcept {
  return create(fences, mode, fence::allocate_contexts(1), 1);
}

result<fence_ref> fence_array::create(std::span<const fence_ref> fences, array_mode mode,
                                      std::uint64_t context, std::uint64_t seqno) noexcept {
  if (!are_valid(fences)) return failure(EINVAL);
  return make(fences, mode, context, seqno, [](const fence_ref& f) { return f; });
}

result<fence_ref> fence_array::adopt(std::span<fence_ref> fences, array_mode mode) noexcept {
  if (!are_valid(fences)) return failure(EINVAL);
  return make(fences, mode, fence::allocate_contexts(1), 1,
              [](fence_ref& f) { return std::move(f); });
}

result<fence_ref> fence_array::create_of(std::span<fence* const> fences) noexcept {
  return make(fences, array_mode::all, fence::allocate_contexts(1), 1,
              [](fence* f) { return fence_ref::take(*f); });
}

fence_ref fence_array::child_of(fence& f, std::uint32_t i) noexcept {
  const auto& array = static_cast<fence_array&>(f);
  return i < array.size_ ? fence_ref::take(array.child(i)) : nullptr;
}

void fence_array::release(fence& f) noexcept {
  auto& array = static_cast<fence_array&>(f);
  for (std::uint32_t i = 0; i < array.size_; ++i) array.child(i).put();
  // Nobody has a reference, but an RCU reader may still look at the count.
  rcu::defer_memory(array, bytes_for(array.size_), [](rcu::deferred* d) noexcept {
    auto* memory = static_cast<fence_array*>(d);
    detail::free_block(memory, bytes_for(memory->size_));
  });
}

void fence_array::note(const node& n, bool is_lost) noexcept {
  const auto index = static_cast<std::uint32_t>(&n - nodes());
  if (mode_ == array_mode::all && !is_lost && child(index).error() == 0) return;
  std::uint32_t none = 0;
  // [CONT.3] release: the child is signaled, or lost; pairs with [CONT.4]
  deciding_.compare_exchange(none, index + 1, mo::release, mo::relaxed);
}

fence* fence_array::deciding_child() const noexcept {
  // [CONT.4] acquire: the child that it names is signaled for this thread as well; pairs with
  // [CONT.3]
  const std::uint32_t deciding = deciding_.load(mo::acquire);
  return deciding == 0 ? nullptr : &child(deciding - 1);
}

// -EOWNERDEAD: a child that was inherited pending decides, or there is nothing else in an `any`
// array.
int fence_array::result_now() const noexcept {
  fence* decided = deciding_child();
  if (decided == nullptr) return mode_ == array_mode::all ? 1 : -EOWNERDEAD;
  if (!decided->is_signaled()) return -EOWNERDEAD;
  const int error = decided->error();
  return error < 0 ? error : 1;
}

int fence_array::enable(backend* data) noexcept {
  auto& array = *static_cast<fence_array*>(data);
  array.get();
  // relaxed: published by the registrations
  array.remaining_.store(array.size_ + 1, mo::relaxed);
  std::uint32_t gone = 1;
  for (std::uint32_t i = 0; i < array.size_; ++i) {
    node& n = *::new (array.nodes() + i) node;
    n.set_function(&fence_array::on_child);
    n.array = &array;
    const std::error_code refused = array.child(i).add_callback(n);
    if (!refused) continue;
    ++gone;
    // Signaled already; or inherited through fork(), and nothing more will come: of several an
    // `any` array goes by the others.
    const bool is_lost = refused == errno_code(EOWNERDEAD);
    if (!is_lost || array.mode_ == array_mode::all) array.note(n, is_lost);
  }
  const bool is_any = array.mode_ == array_mode::any && array.deciding_child() != nullptr;
  // [CONT.1] acq_rel: the last one sees the errors that all noted; pairs with [CONT.1], [CONT.2]
  const bool is_last = array.remaining_.fetch_sub(gone, mo::acq_rel) == gone;
  const int how = is_last || is_any ? array.result_now() : 0;
  // The caller of the op has a reference.
  if (is_last) array.put();
  return how;
}

void fence_array::on_child(callback& which, fence&) noexcept {
  auto& n = static_cast<node&>(which);
  fence_array& array = *n.array;
  array.note(n);
  if (array.mode_ == array_mode::any) array.signal(array.result_now());
  // [CONT.2] acq_rel: as [CONT.1]; pairs with [CONT.1], [CONT.2]
  if (array.remaining_.fetch_sub(1, mo::acq_rel) != 1) return;
  if (array.mode_ == array_mode::all) array.signal(array.result_now());
  array.put();
}

int fence_array::poll(backend* data) noexcept {
  return detail::poll_below(*static_cast<fence_array*>(data));
}

void fence_array::forward_deadline(backend* data, std::int64_t deadline_ns) noexcept {
  detail::set_deadline_below(*static_cast<fence_array*>(data), deadline_ns);
}

}  // namespace ufence
