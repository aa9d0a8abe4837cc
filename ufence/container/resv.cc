#include "ufence/container/resv.h"

#include <algorithm>
#include <array>
#include <new>
#include <string_view>
#include <utility>

#include "ufence/base/alloc.h"
#include "ufence/base/check.h"
#include "ufence/container/array.h"
#include "ufence/container/chain.h"
#include "ufence/container/later.h"
#include "ufence/rcu/rcu.h"

namespace ufence {

using detail::resv_list;
using detail::resv_slot;

namespace {

bool is_container(fence& f) noexcept {
  return fence_array::from(f) != nullptr || fence_chain::from(f) != nullptr;
}

// Can it stand in a list?
bool is_valid(const fence_ref& f, resv_usage usage) noexcept {
  return f && usage <= resv_usage::bookkeep && !is_container(*f);
}

}  // namespace

// --- Lists ---

resv_list* resv_list::make(std::uint64_t room) noexcept {
  // With its head it fills cache lines of 64 bytes.
  constexpr std::uint32_t in_head = sizeof(resv_list) / sizeof(atomic<std::uintptr_t>);
  constexpr std::uint32_t in_line = 64 / sizeof(atomic<std::uintptr_t>);
  constexpr std::uint64_t room_max = UINT64_C(1) << 31;
  if (room > room_max) return nullptr;
  const std::uint32_t lines = (static_cast<std::uint32_t>(room) + in_head + in_line - 1) / in_line;
  const std::uint32_t n = std::max(lines, 1U) * in_line - in_head;
  void* memory = allocate(sizeof(resv_list) + std::size_t{n} * sizeof(atomic<std::uintptr_t>));
  return memory != nullptr ? ::new (memory) resv_list(n) : nullptr;
}

void resv_list::destroy(deferred* d) noexcept {
  auto& list = *static_cast<resv_list*>(d);
  const std::uint32_t size = list.written();
  for (std::uint32_t i = 0; i < size; ++i) {
    if (const resv_slot at = list.word(i); !at.is_moved()) at.at().put();
  }
  deallocate(&list);
}

resv::~resv() {
  UFENCE_DEBUG_CHECK(!was_locked() && "the object is locked");
  if (resv_list* last = list()) resv_list::destroy(last);
}

resv_list* resv::list() const noexcept {
  // relaxed: changed under the lock, which the caller has
  return list_.load(mo::relaxed);
}

void resv::publish(resv_list& next) noexcept {
  resv_list* old = list();
  next.generation = ++generation_;
  rcu::publish(list_, &next);
  if (old != nullptr) rcu::defer(*old, &resv_list::destroy);
}

// A new list, with the pending fences and at least so many free slots.
bool resv::move_to_list_with(std::uint32_t free_slots) noexcept {
  resv_list* old = list();
  const std::uint32_t size = old != nullptr ? old->written() : 0;
  const auto stays = [&](std::uint32_t i) noexcept {
    const resv_slot word = old->word(i);
    return !word.is_replaced() && !word.at().is_signaled();
  };
  std::uint64_t staying = 0;
  for (std::uint32_t i = 0; i < size; ++i) staying += stays(i) ? 1U : 0U;
  // Room for twice what stays, so that lists are seldom replaced.
  resv_list* next = resv_list::make(2 * staying + free_slots);
  if (next == nullptr) return false;
  for (std::uint32_t i = 0; i < size; ++i) {
    // A fence that was signaled meanwhile goes; nothing else changes here.
    if (!stays(i)) continue;
    const resv_slot word = old->word(i);
    next->append(word);
    // relaxed: only who frees the list looks for it
    old->slots()[i].store(word.moved().bits(), mo::relaxed);
  }
  publish(*next);
  return true;
}

// --- Changing ---

std::error_code resv::reserve(std::uint32_t n) noexcept {
  UFENCE_DEBUG_CHECK(was_locked());
  if (n == 0) return errno_code(EINVAL);
  const resv_list* now = list();
  if (now == nullptr || now->room - now->written() < n) {
    rcu::reclaim();
    if (!move_to_list_with(std::max(n, reserved_))) return errno_code(ENOMEM);
  }
  reserved_ = std::max(n, reserved_);
  return {};
}

std::error_code resv::add(const fence_ref& f, resv_usage usage) noexcept {
  UFENCE_DEBUG_CHECK(was_locked());
  if (!is_valid(f, usage)) return errno_code(EINVAL);
  if (reserved_ == 0) return errno_code(ENOSPC);
  --reserved_;

  resv_list& into = *list();
  const resv_slot added(*f, usage);
  const auto replaces = [&](resv_slot word) noexcept {
    fence& old = word.at();
    if (word.is_replaced() || word.usage() < usage || old.context() != f->context()) return false;
    return &old == f.get() || (f->is_later_than(old) && detail::stands_for_quietly(*f, old));
  };
  const std::uint32_t size = into.written();
  bool is_there = false;
  for (std::uint32_t i = 0; i < size; ++i) {
    is_there = is_there || into.word(i).bits() == added.bits();
  }
  if (!is_there) {
    into.append(added);
    f->get();
  }
  for (std::uint32_t i = 0; i < size; ++i) {
    const resv_slot word = into.word(i);
    if (word.bits() != added.bits() && replaces(word)) into.mark_replaced(i);
  }
  return {};
}

std::error_code resv::replace(std::uint64_t context, const fence_ref& f,
                              resv_usage usage) noexcept {
  UFENCE_DEBUG_CHECK(was_locked());
  if (!is_valid(f, usage)) return errno_code(EINVAL);
  const auto is_replaced = [&](resv_slot word) noexcept {
    return !word.is_replaced() && word.at().context() == context;
  };
  resv_list* in = list();
  std::uint32_t size = in != nullptr ? in->written() : 0;
  bool is_any = false;
  for (std::uint32_t i = 0; i < size; ++i) is_any = is_any || is_replaced(in->word(i));
  if (!is_any) return {};

  bool has_room = in->room - size > reserved_;
  if (!has_room) {
    rcu::reclaim();
    has_room = move_to_list_with(reserved_ + 1);
    in = list();
    size = in->written();
  }
  if (has_room) {
    in->append(resv_slot(*f, usage));
    f->get();
  }
  for (std::uint32_t i = 0; i < size; ++i) {
    const resv_slot word = in->word(i);
    if (!is_replaced(word)) continue;
    if (has_room) {
      in->mark_replaced(i);
    } else {
      f->get();
      in->overwrite(i, resv_slot(*f, usage));
      rcu::synchronize();
      word.at().put();
    }
  }
  return {};
}

std::error_code resv::copy_from(const resv& source) noexcept {
  UFENCE_DEBUG_CHECK(was_locked());
  rcu::reclaim();
  for (;;) {
    resv_list* next = resv_list::make(source.count());
    if (next == nullptr) return errno_code(ENOMEM);
    bool fits = true;
    resv_unlocked_cursor all(source, resv_usage::bookkeep);
    while (fence* f = all.next()) {
      if (all.is_restarted()) next->forget();
      fits = next->written() < next->room;
      if (!fits) break;
      f->get();
      next->append(resv_slot(*f, all.usage()));
    }
    if (fits) {
      reserved_ = 0;
      publish(*next);
      return {};
    }
    resv_list::destroy(next);
  }
}

// --- Looking ---

std::uint32_t resv::count() const noexcept {
  const rcu::read_section section;
  const resv_list* now = rcu::dereference(list_);
  // relaxed: an estimate
  return now != nullptr ? now->size.load(mo::relaxed) : 0;
}

result<fence_list> resv::get_fences(resv_usage usage) const noexcept {
  fence_list found;
  resv_unlocked_cursor all(*this, usage);
  while (fence* f = all.next()) {
    if (all.is_restarted()) found.clear();
    if (!found.push(fence_ref::take(*f))) return failure(ENOMEM);
  }
  return found;
}

result<fence_ref> resv::singleton(resv_usage usage) const noexcept {
  result<fence_list> found = get_fences(usage);
  if (!found) return std::unexpected(found.error());
  if (found->empty()) return fence_ref();
  if (found->size() == 1) return std::move((*found)[0]);
  return fence_array::adopt(found->items());
}

std::error_code resv::wait(resv_usage usage, absolute_deadline deadline_ns) const noexcept {
  resv_unlocked_cursor all(*this, usage);
  while (fence* f = all.next()) {
    if (const std::error_code failed = f->wait(deadline_ns)) return failed;
  }
  return {};
}

void resv::set_deadline(resv_usage usage, absolute_deadline deadline_ns) const noexcept {
  resv_unlocked_cursor all(*this, usage);
  while (fence* f = all.next()) f->set_deadline(deadline_ns);
}

bool resv::test_signaled(resv_usage usage) const noexcept {
  const rcu::read_section section;
  return resv_rcu_cursor(*this, usage).next() == nullptr;
}

std::string resv::describe(resv_usage up_to) const {
  static constexpr std::array<std::string_view, 4> names{"kernel", "write", "read", "bookkeep"};
  std::string text;
  const rcu::read_section section;
  const resv_list* now = rcu::dereference(list_);
  if (now == nullptr) return text;
  std::uint32_t next = 0;
  resv_usage usage{};
  while (fence* f = now->next_fence(next, up_to, usage)) {
    text += '\t';
    text += names[static_cast<std::size_t>(usage)];
    text += " fence:";
    text += f->describe();
    text += '\n';
  }
  return text;
}

// --- Cursors ---

resv_locked_cursor::resv_locked_cursor(const resv& object, resv_usage usage) noexcept
    : list_(object.list()), up_to_(usage) {
  UFENCE_DEBUG_CHECK(object.was_locked());
}

fence* resv_locked_cursor::next() noexcept {
  return list_ != nullptr ? list_->next_fence(next_, up_to_, usage_) : nullptr;
}

fence* resv_unlocked_cursor::next() noexcept {
  current_.reset();
  is_restarted_ = false;
  const rcu::read_section section;
  for (;;) {
    const resv_list* now = rcu::dereference(object_.list_);
    const std::uint64_t generation = now != nullptr ? now->generation : 0;
    if (must_start_ || generation != generation_) {
      must_start_ = false;
      is_restarted_ = true;
      generation_ = generation;
      next_ = 0;
    }
    if (now == nullptr) return nullptr;
    if (fence* f = now->next_pending(next_, up_to_, usage_)) {
      current_ = fence_ref::take(*f);
      return f;
    }
    if (rcu::dereference(object_.list_) == now) return nullptr;
  }
}

}  // namespace ufence
