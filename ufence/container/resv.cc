#include "ufence/container/resv.h"

#include <algorithm>
#include <array>
#include <bit>
#include <new>
#include <string_view>
#include <utility>

#include "ufence/base/alloc.h"
#include "ufence/base/check.h"
#include "ufence/container/array.h"
#include "ufence/container/chain.h"
#include "ufence/rcu/rcu.h"

namespace ufence {

namespace {

// A slot: a fence, which the list has a reference to, with the usage in the low bits.
class slot_word {
 public:
  explicit constexpr slot_word(std::uintptr_t bits) noexcept : bits_(bits) {}
  slot_word(fence& f, resv_usage usage) noexcept
      : bits_(reinterpret_cast<std::uintptr_t>(&f) | static_cast<std::uintptr_t>(usage)) {}

  [[nodiscard]] std::uintptr_t bits() const noexcept { return bits_; }
  [[nodiscard]] fence& at() const noexcept { return *reinterpret_cast<fence*>(bits_ & ~low_bits); }
  [[nodiscard]] resv_usage usage() const noexcept {
    return static_cast<resv_usage>(bits_ & usage_bits);
  }
  /// Another fence stands for it.
  [[nodiscard]] bool is_replaced() const noexcept { return (bits_ & replaced_bit) != 0; }
  [[nodiscard]] slot_word replaced() const noexcept { return slot_word(bits_ | replaced_bit); }
  /// The next list has the reference.
  [[nodiscard]] bool is_moved() const noexcept { return (bits_ & moved_bit) != 0; }
  [[nodiscard]] slot_word moved() const noexcept { return slot_word(bits_ | moved_bit); }

 private:
  static constexpr std::uintptr_t usage_bits = 3;
  static constexpr std::uintptr_t replaced_bit = 4;
  static constexpr std::uintptr_t moved_bit = 8;
  static constexpr std::uintptr_t low_bits = usage_bits | replaced_bit | moved_bit;
  static_assert(alignof(fence) > low_bits);

  std::uintptr_t bits_;
};

using slot = atomic<std::uintptr_t>;
constexpr std::uint32_t room_min = 4;
constexpr std::uint64_t room_max = UINT64_C(1) << 31;

bool is_container(fence& f) noexcept {
  return fence_array::from(f) != nullptr || fence_chain::from(f) != nullptr;
}

// Can it stand in a list?
bool is_valid(const fence_ref& f, resv_usage usage) noexcept {
  return f && usage <= resv_usage::bookkeep && !is_container(*f);
}

}  // namespace

namespace detail {

// Slots below `size` are written; the lock of its object guards the writing.
struct resv_list : rcu::deferred {
  std::uint64_t generation = 0;  // set before publish; no two lists of an object have the same
  const std::uint32_t room;
  atomic<std::uint32_t> size{0};

  explicit resv_list(std::uint32_t slots) noexcept : room(slots) {
    std::uninitialized_default_construct_n(this->slots(), slots);
  }
  [[nodiscard]] slot* slots() const noexcept {
    static_assert(alignof(slot) <= alignof(rcu::deferred));
    return reinterpret_cast<slot*>(const_cast<resv_list*>(this) + 1);
  }

  static resv_list* make(std::uint64_t room) noexcept {
    if (room > room_max) return nullptr;
    const auto slots = std::bit_ceil(std::max(static_cast<std::uint32_t>(room), room_min));
    void* memory = allocate(sizeof(resv_list) + std::size_t{slots} * sizeof(slot));
    return memory != nullptr ? ::new (memory) resv_list(slots) : nullptr;
  }
  // Nobody looks at it any more.
  static void destroy(deferred* d) noexcept {
    auto& list = *static_cast<resv_list*>(d);
    const std::uint32_t size = list.written();
    for (std::uint32_t i = 0; i < size; ++i) {
      if (const slot_word word = list.word(i); !word.is_moved()) word.at().put();
    }
    deallocate(&list);
  }

  // For who has the lock.
  [[nodiscard]] std::uint32_t written() const noexcept {
    // relaxed, as below: changed under the lock
    return size.load(mo::relaxed);
  }
  [[nodiscard]] slot_word word(std::uint32_t i) const noexcept {
    return slot_word(slots()[i].load(mo::relaxed));
  }
  // Takes over a reference.
  void append(slot_word word) noexcept {
    const std::uint32_t at = written();
    UFENCE_DEBUG_CHECK(at < room);
    // relaxed: shown by the size
    slots()[at].store(word.bits(), mo::relaxed);
    // [RESV.1] release: the slot, and the fence in it; pairs with [RESV.2]
    size.store(at + 1, mo::release);
  }
  // What stands for it is appended already.
  void mark_replaced(std::uint32_t i) noexcept {
    // [RESV.3] release: who misses this fence finds the other one; pairs with [RESV.4]
    slots()[i].store(word(i).replaced().bits(), mo::release);
  }
  // Its place is another's at once. The reference to the old fence is the caller's.
  void overwrite(std::uint32_t i, slot_word with) noexcept {
    // [RESV.5] release: the fence that is in the slot now; pairs with [RESV.4]
    slots()[i].store(with.bits(), mo::release);
  }

  // Not published yet.
  void forget() noexcept {
    for (std::uint32_t i = 0; i < written(); ++i) word(i).at().put();
    // relaxed: nobody else has seen it
    size.store(0, mo::relaxed);
  }

  enum class want : std::uint8_t { pending, all };
  // The next fence at or after `at` up to a usage, or null.
  fence* step(std::uint32_t& at, resv_usage up_to, resv_usage& usage, want which) const noexcept {
    // [RESV.2] acquire: slots, and the fences in them; pairs with [RESV.1]
    while (at < size.load(mo::acquire)) {
      // [RESV.4] acquire: a replaced fence's successor, by the size; pairs with [RESV.3], [RESV.5]
      const slot_word word(slots()[at++].load(mo::acquire));
      if (word.is_replaced() || word.usage() > up_to) continue;
      if (which == want::pending && word.at().is_signaled()) continue;
      usage = word.usage();
      return &word.at();
    }
    return nullptr;
  }
};

}  // namespace detail

using detail::resv_list;

// --- Lists ---

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
    const slot_word word = old->word(i);
    return !word.is_replaced() && !word.at().is_signaled();
  };
  std::uint64_t staying = 0;
  for (std::uint32_t i = 0; i < size; ++i) staying += stays(i) ? 1U : 0U;
  // Room for twice what stays, so that lists are seldom replaced.
  resv_list* next = resv_list::make(2 * staying + free_slots);
  if (next == nullptr) return false;
  for (std::uint32_t i = 0; i < size; ++i) {
    // What was signaled meanwhile goes; nothing else changes here.
    if (!stays(i)) continue;
    const slot_word word = old->word(i);
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
  const slot_word added(*f, usage);
  const auto replaces = [&](slot_word word) noexcept {
    const fence& old = word.at();
    return !word.is_replaced() && word.usage() >= usage && old.context() == f->context() &&
           (&old == f.get() || f->is_later_than(old));
  };
  const std::uint32_t size = into.written();
  bool is_there = false;
  std::uint32_t first_replaced = size;
  for (std::uint32_t i = 0; i < size; ++i) {
    const slot_word word = into.word(i);
    is_there = is_there || word.bits() == added.bits();
    if (first_replaced == size && replaces(word)) first_replaced = i;
  }
  if (!is_there) {
    into.append(added);
    f->get();
  }
  for (std::uint32_t i = first_replaced; i < size; ++i) {
    const slot_word word = into.word(i);
    if (word.bits() != added.bits() && replaces(word)) into.mark_replaced(i);
  }
  return {};
}

std::error_code resv::replace(std::uint64_t context, const fence_ref& f,
                              resv_usage usage) noexcept {
  UFENCE_DEBUG_CHECK(was_locked());
  if (!is_valid(f, usage)) return errno_code(EINVAL);
  const auto is_replaced = [&](slot_word word) noexcept {
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
    in->append(slot_word(*f, usage));
    f->get();
  }
  for (std::uint32_t i = 0; i < size; ++i) {
    const slot_word word = in->word(i);
    if (!is_replaced(word)) continue;
    if (has_room) {
      in->mark_replaced(i);
    } else {
      f->get();
      in->overwrite(i, slot_word(*f, usage));
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
      next->append(slot_word(*f, all.usage()));
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
  return fence_array::create(found->items());
}

std::error_code resv::wait(resv_usage usage, std::int64_t deadline_ns) const noexcept {
  resv_unlocked_cursor all(*this, usage);
  while (fence* f = all.next()) {
    if (const std::error_code failed = f->wait(deadline_ns)) return failed;
  }
  return {};
}

void resv::set_deadline(resv_usage usage, std::int64_t deadline_ns) const noexcept {
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
  while (fence* f = now->step(next, up_to, usage, resv_list::want::all)) {
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
  return list_ != nullptr ? list_->step(next_, up_to_, usage_, resv_list::want::all) : nullptr;
}

resv_rcu_cursor::resv_rcu_cursor(const resv& object, resv_usage usage) noexcept
    : object_(object), list_(rcu::dereference(object.list_)), up_to_(usage) {}

fence* resv_rcu_cursor::next() noexcept {
  for (;;) {
    if (list_ != nullptr) {
      if (fence* f = list_->step(next_, up_to_, usage_, resv_list::want::pending)) return f;
    }
    const resv_list* newest = rcu::dereference(object_.list_);
    if (newest == list_) return nullptr;
    list_ = newest;
    next_ = 0;
  }
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
    if (fence* f = now->step(next_, up_to_, usage_, resv_list::want::pending)) {
      current_ = fence_ref::take(*f);
      return f;
    }
    if (rcu::dereference(object_.list_) == now) return nullptr;
  }
}

}  // namespace ufence
