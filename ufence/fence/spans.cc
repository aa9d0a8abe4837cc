#include "ufence/fence/spans.h"

#include <algorithm>

namespace ufence {

namespace detail {

using access = fence::slab_access;

// At the begin of a region, which is aligned to its size; the first spans are what it takes itself.
struct spans::region {
  static constexpr std::uint32_t count = fence_region_bytes / fence_span_bytes;

  region* next;
  span all[count];

  [[nodiscard]] static std::uint32_t first_span() noexcept {
    return (sizeof(region) + fence_span_bytes - 1) / fence_span_bytes;
  }
};

namespace {

char* region_begin(const void* in) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(in);
  return reinterpret_cast<char*>(address & ~(std::uintptr_t{fence_region_bytes} - 1));
}

}  // namespace

spans::span& spans::span_of(const fence& slot) noexcept {
  char* const begin = region_begin(&slot);
  const auto offset = static_cast<std::size_t>(reinterpret_cast<const char*>(&slot) - begin);
  return reinterpret_cast<region*>(begin)->all[offset / fence_span_bytes];
}

char* spans::memory_of(const span& s) noexcept {
  char* const begin = region_begin(&s);
  return begin +
         static_cast<std::size_t>(&s - reinterpret_cast<region*>(begin)->all) * fence_span_bytes;
}

void spans::list(span& s) noexcept {
  s.previous = nullptr;
  s.next = open_;
  if (open_ != nullptr) open_->previous = &s;
  open_ = &s;
}

void spans::unlist(span& s) noexcept {
  (s.previous == nullptr ? open_ : s.previous->next) = s.next;
  if (s.next != nullptr) s.next->previous = s.previous;
}

// The span to take slots from when no listed one has any. Its memory may be of three kinds, in the order of what
// they cost: free slots that were kept; zeroed pages that the system has back; pages that were never used.
spans::span* spans::open_another() noexcept {
  span* s = kept_;
  if (s != nullptr) {
    kept_ = s->next;
    kept_bytes_ -= fence_span_bytes;
  } else if ((s = zeroed_) != nullptr) {
    zeroed_ = s->next;
  } else {
    if (regions_ == nullptr || next_span_ == region::count) {
      auto* const more = static_cast<region*>(allocate_pages(fence_region_bytes));
      if (more == nullptr) return nullptr;
      more->next = regions_;
      regions_ = more;
      next_span_ = region::first_span();
    }
    s = &regions_->all[next_span_++];
    s->free_slots = slots_in_span_;
  }
  list(*s);
  return s;
}

// Slots of one span, so that they lie side by side. Slots that were used before come first: their memory is
// there already.
slot_chain spans::take(std::uint32_t most) noexcept {
  span* const s = open_ != nullptr ? open_ : open_another();
  if (s == nullptr) return {};
  slot_chain taken{.first = s->free};
  while (taken.count != most && s->free != nullptr) {
    taken.last = s->free;
    s->free = access::next_of_closed(*s->free, slot_bytes_);
    ++taken.count;
  }
  if (taken.count == 0) taken = touch(*s, most);
  s->free_slots -= taken.count;
  if (s->free_slots == 0) unlist(*s);
  return taken;
}

// Begins with slots of the span that were never used, or not since its pages were zeroed.
slot_chain spans::touch(span& s, std::uint32_t most) noexcept {
  const std::uint32_t count = std::min(most, slots_in_span_ - s.touched_slots);
  char* const memory = memory_of(s) + std::size_t{s.touched_slots} * slot_bytes_;
  const auto slot = [&](std::uint32_t n) {
    return reinterpret_cast<fence*>(memory + std::size_t{n} * slot_bytes_);
  };
  for (std::uint32_t n = 0; n != count; ++n)
    access::set_next_of_closed(*slot(n), n + 1 == count ? nullptr : slot(n + 1), slot_bytes_);
  s.touched_slots += count;
  return {.first = slot(0), .last = slot(count - 1), .count = count};
}

fence* spans::give(fence* first, std::uint32_t count) noexcept {
  while (count != 0) {
    // Neighbours in the chain mostly are of one span: they go back in one step.
    span& s = span_of(*first);
    fence* last = first;
    fence* after = access::next_of_closed(*last, slot_bytes_);
    std::uint32_t same = 1;
    for (; same != count && &span_of(*after) == &s; ++same) {
      last = after;
      after = access::next_of_closed(*last, slot_bytes_);
    }
    access::set_next_of_closed(*last, s.free, slot_bytes_);
    s.free = first;
    if (s.free_slots == 0) list(s);
    s.free_slots += same;
    if (s.free_slots == slots_in_span_) empty(s);
    count -= same;
    first = after;
  }
  return first;
}

// All slots of the span are free. Up to kept_bytes_max of such memory is kept as it is; beyond that the system
// gets the pages, and reading a slot there gives zeros, which mean a free slot.
void spans::empty(span& s) noexcept {
  unlist(s);
  // Where the system does not take it (the program has locked its memory), it is kept as it is.
  if (kept_bytes_ + fence_span_bytes > kept_bytes_max &&
      give_pages_back(memory_of(s), fence_span_bytes)) {
    s.free = nullptr;
    s.touched_slots = 0;
    s.next = zeroed_;
    zeroed_ = &s;
    return;
  }
  kept_bytes_ += fence_span_bytes;
  s.next = kept_;
  kept_ = &s;
}

// For walks over all fences. Slots that were never touched are left out: they would cost memory.
spans::slots spans::next(place& at) const noexcept {
  const auto* r = static_cast<const region*>(at.region);
  for (; r != nullptr; r = r->next, at.span = 0) {
    for (; at.span != region::count; ++at.span) {
      const span& s = r->all[at.span];
      if (s.touched_slots == 0) continue;
      ++at.span;
      at.region = r;
      return {.first = memory_of(s), .count = s.touched_slots};
    }
  }
  at.region = nullptr;
  return {};
}

void spans::tell_layout(slab_layout& to, unsigned which) const noexcept {
  to.regions[which] = &regions_;
  to.slot_bytes[which] = slot_bytes_;
  to.next = offsetof(region, next);
  to.spans = offsetof(region, all);
  to.touched_slots = offsetof(span, touched_slots);
  to.span_count = region::count;
  to.span_size = sizeof(span);
  to.span_bytes = fence_span_bytes;
}

}  // namespace detail
}  // namespace ufence
