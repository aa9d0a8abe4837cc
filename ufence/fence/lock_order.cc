#include "ufence/fence/lock_order.h"

#if defined(UFENCE_DEBUG_CHECKS) && UFENCE_DEBUG_CHECKS

#include <dlfcn.h>

#include <array>
#include <charconv>
#include <string>

#include "ufence/base/fork.h"
#include "ufence/base/lock.h"
#include "ufence/base/tls.h"
#include "ufence/fence/report.h"

namespace ufence {

struct lock_order_access {
  static atomic<std::uint32_t>& number(lock_class& of) noexcept { return of.number_; }
};

namespace {

constexpr std::uint32_t classes_max = 64;
constexpr std::uint32_t section = 0;  // the number of the signalling section
constexpr std::uint32_t unwatched = classes_max;

// An order that was seen: `place` says where, the first time.
struct seen_order {
  const void* place = nullptr;
};

struct order_graph {
  mutex lock{lock_rank::leaf};
  std::uint32_t count UFENCE_GUARDED_BY(lock) = 1;
  std::array<const char*, classes_max> names UFENCE_GUARDED_BY(lock){"the signalling section"};
  // after[a] has b: a was held, or open, when b was taken, or waited for. Bits are only ever set.
  std::array<atomic<std::uint64_t>, classes_max> after{};
  std::array<std::array<seen_order, classes_max>, classes_max> orders UFENCE_GUARDED_BY(lock){};
};
constinit order_graph watched_orders;

// A child of fork() must not inherit the lock in the taken state.
const fork_part at_fork(lock_rank::leaf,
                        {.before = [] noexcept { watched_orders.lock.lock_for_fork(); },
                         .in_parent = [] noexcept { watched_orders.lock.unlock_after_fork(); },
                         .in_child = [] noexcept { watched_orders.lock.unlock_after_fork(); }});

// How many of each class this thread holds, or how deep it is in sections.
struct held_classes {
  std::array<std::uint16_t, classes_max> counts{};
  std::uint64_t any = 0;  // bits of those that are not 0
};
struct held_classes_tag;
using held = per_thread<held_classes_tag, held_classes>;

std::uint32_t number_of(lock_class& of) noexcept {
  atomic<std::uint32_t>& number = lock_order_access::number(of);
  // relaxed: a number alone; names are read under the lock
  if (const std::uint32_t known = number.load(mo::relaxed); known != 0) return known;
  const scoped_lock guard(watched_orders.lock);
  std::uint32_t mine = number.load(mo::relaxed);  // relaxed: the lock
  if (mine != 0) return mine;
  mine = watched_orders.count == classes_max ? unwatched : watched_orders.count++;
  if (mine != unwatched) watched_orders.names[mine] = of.name();
  number.store(mine, mo::relaxed);  // relaxed: the lock
  return mine;
}

// The classes on a way from one class to another, in `way`, last one first. 0: there is none.
std::size_t find_way(std::uint32_t from, std::uint32_t to, std::array<std::uint32_t, classes_max>& way) noexcept {
  std::array<std::uint32_t, classes_max> came_from{}, to_do{};
  std::uint64_t seen = std::uint64_t{1} << from;
  std::size_t count = 0;
  to_do[count++] = from;
  while (count != 0) {
    const std::uint32_t at = to_do[--count];
    if (at == to) {
      std::size_t length = 0;
      for (std::uint32_t n = to; n != from; n = came_from[n]) way[length++] = n;
      way[length++] = from;
      return length;
    }
    // relaxed: bits are only ever set, and the last order of a circle looks for it under the lock
    std::uint64_t next = watched_orders.after[at].load(mo::relaxed) & ~seen;
    seen |= next;
    for (; next != 0; next &= next - 1) {
      const auto n = static_cast<std::uint32_t>(__builtin_ctzll(next));
      came_from[n] = at;
      to_do[count++] = n;
    }
  }
  return 0;
}

std::string text_of(const void* place) {
  Dl_info found{};
  if (place == nullptr || ::dladdr(place, &found) == 0 || found.dli_fname == nullptr) return "unknown code";
  std::array<char, 16> digits;
  const auto offset = reinterpret_cast<std::uintptr_t>(place) - reinterpret_cast<std::uintptr_t>(found.dli_fbase);
  char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), offset, 16).ptr;
  return std::string(found.dli_fname) + "+0x" + std::string(digits.data(), end);
}

// The text of the circle that `before` -> `then` closes with a way back; empty: it closes none. It is noted.
std::string note_order(std::uint32_t before, std::uint32_t then, const void* place) {
  const scoped_lock guard(watched_orders.lock);
  std::array<std::uint32_t, classes_max> way{};
  const std::uint64_t bit = std::uint64_t{1} << then;
  // relaxed: the lock
  if ((watched_orders.after[before].fetch_or(bit, mo::relaxed) & bit) != 0) return {};
  watched_orders.orders[before][then].place = place;
  const std::size_t length = find_way(then, before, way);
  std::string text;
  const auto add = [&](std::uint32_t a, std::uint32_t b) UFENCE_NO_TSA {
    text += std::string(text.empty() ? "locks may wait for each other: " : ", ") + watched_orders.names[a] +
            " before " + watched_orders.names[b] + " (at " + text_of(watched_orders.orders[a][b].place) + ")";
  };
  if (length == 0) return {};
  add(before, then);
  for (std::size_t i = length - 1; i != 0; --i) add(way[i], way[i - 1]);
  return text;
}

// This thread takes, or waits for, `then` with all that it holds.
void note_orders(const held_classes& mine, std::uint32_t then, const void* place) noexcept {
  for (std::uint64_t rest = mine.any & ~(std::uint64_t{1} << then); rest != 0; rest &= rest - 1) {
    const auto before = static_cast<std::uint32_t>(__builtin_ctzll(rest));
    // relaxed: a bit that is seen was noted
    if ((watched_orders.after[before].load(mo::relaxed) >> then & 1) != 0) continue;
    const std::string text = note_order(before, then, place);
    if (text.empty()) continue;
    send_report({.kind = report_kind::lock_order,
                 .context = 0,
                 .seqno = 0,
                 .driver_name = {},
                 .timeline_name = {},
                 .text = text});
  }
}

void add(std::uint32_t number) noexcept {
  held_classes& mine = held::get();
  ++mine.counts[number];
  mine.any |= std::uint64_t{1} << number;
}

void remove(std::uint32_t number) noexcept {
  held_classes& mine = held::get();
  if (mine.counts[number] != 0 && --mine.counts[number] == 0) mine.any &= ~(std::uint64_t{1} << number);
}

}  // namespace

void lock_class::note_taken() noexcept {
  const std::uint32_t number = number_of(*this);
  if (number == unwatched) return;
  note_orders(held::get(), number, __builtin_return_address(0));
  add(number);
}

void lock_class::note_tried() noexcept {
  if (const std::uint32_t number = number_of(*this); number != unwatched) add(number);
}

void lock_class::note_dropped() noexcept {
  if (const std::uint32_t number = number_of(*this); number != unwatched) remove(number);
}

namespace detail {

// Entering a section waits for nobody: no order follows from what is held then.
void order_section_begins() noexcept { add(section); }
void order_section_ends() noexcept { remove(section); }
void order_wait() noexcept { note_orders(held::get(), section, __builtin_return_address(0)); }

}  // namespace detail
}  // namespace ufence

#else

namespace ufence {

void lock_class::note_taken() noexcept {}
void lock_class::note_tried() noexcept {}
void lock_class::note_dropped() noexcept {}

}  // namespace ufence

#endif
