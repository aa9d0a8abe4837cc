#include "lab/engine/hooks.h"

#include <sys/mman.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "lab/engine/machine.h"

namespace ufence::lab::hooks {
namespace {

machine& m() noexcept { return *mode::running; }

operation access(action what, const void* at, unsigned bytes, std::memory_order order,
                 std::source_location where) noexcept {
  operation op;
  op.what = what;
  op.at = reinterpret_cast<std::uintptr_t>(at);
  op.bytes = bytes;
  op.order = order;
  op.failure_order = order;
  op.where = where;
  return op;
}

// A location that is no memory: what the kernel keeps for a futex word.
operation queue_access(action what, const void* word, std::memory_order order,
                       std::source_location where) noexcept {
  constexpr std::uintptr_t not_an_address = std::uintptr_t{1} << 63;
  operation op = access(what, word, 8, order, where);
  op.at |= not_an_address;
  op.is_abstract = true;
  return op;
}

// Each class of sleepers has a count of wakes in the queue's value.
constexpr unsigned class_count = 2;
constexpr unsigned class_bits = 32;

std::uint64_t each_class(std::uint32_t classes, std::uint64_t value) noexcept {
  std::uint64_t result = 0;
  for (unsigned c = 0; c < class_count; ++c) {
    if ((classes >> c & 1) != 0) result |= value << c * class_bits;
  }
  return result;
}

[[noreturn]] void would_block(const char* what) noexcept {
  std::fprintf(stderr, "ufence: %s would wait for ever outside of a model\n", what);
  std::abort();
}

}  // namespace

[[gnu::noinline]] void clear_dead_stack() noexcept {
  constexpr std::size_t deepest = 768;  // of the frames of an operation that waits
  char dead[deepest];
  std::memset(dead, 0, sizeof dead);
  asm volatile("" : : "r"(dead) : "memory");
}

namespace far {

std::uint64_t load(const void* at, unsigned bytes, std::memory_order order,
                   std::source_location where) noexcept {
  operation op = access(action::load, at, bytes, order, where);
  m().perform(op);
  return op.value;
}

void store(void* at, unsigned bytes, std::uint64_t value, std::memory_order order,
           std::source_location where) noexcept {
  operation op = access(action::store, at, bytes, order, where);
  op.operand = value;
  m().perform(op);
}

std::uint64_t modify(void* at, unsigned bytes, modification how, std::uint64_t operand,
                     std::memory_order order, std::source_location where) noexcept {
  operation op = access(action::modify, at, bytes, order, where);
  op.how = how;
  op.operand = operand;
  m().perform(op);
  return op.value;
}

bool compare_exchange(void* at, unsigned bytes, std::uint64_t& expected, std::uint64_t desired,
                      std::memory_order success, std::memory_order failure, bool weak,
                      std::source_location where) noexcept {
  operation op = access(action::compare, at, bytes, success, where);
  op.failure_order = failure;
  op.expected = expected;
  op.operand = desired;
  op.is_weak = weak;
  m().perform(op);
  expected = op.value;
  return op.success;
}

void pause(std::source_location where) noexcept {
  operation op;
  op.what = action::pause;
  op.where = where;
  m().perform(op);
}

}  // namespace far

std::uint64_t await(const void* at, unsigned bytes, condition until, std::memory_order order,
                    std::source_location where) noexcept {
  operation op = access(action::load, at, bytes, order, where);
  op.waits = waiting::condition;
  op.until = until;
  m().perform(op);
  return op.value;
}

void construct(const void* at, unsigned bytes, std::uint64_t value,
               std::source_location where) noexcept {
  mode::outside_scope outside;
  m().construct(at, bytes, value, where);
}

void plain_read(const void* at, std::size_t bytes, std::source_location where) noexcept {
  mode::outside_scope outside;
  m().plain_read(at, bytes, where);
}

void plain_write(const void* at, std::size_t bytes, std::source_location where) noexcept {
  mode::outside_scope outside;
  m().plain_write(at, bytes, where);
}

void await_exchange(void* at, unsigned bytes, std::uint64_t wanted, std::uint64_t desired,
                    std::memory_order order, std::source_location where) noexcept {
  operation op = access(action::modify, at, bytes, order, where);
  op.operand = desired;
  op.waits = waiting::lock;
  op.until = {.mask = ~std::uint64_t{0}, .wanted = wanted, .equal = true};
  m().perform(op);
}

// A mutex is a word of its own: 1 while it is held.
void lock(void* mutex, std::source_location where) noexcept {
  if (in_model()) await_exchange(mutex, 4, 0, 1, std::memory_order_acquire, where);
}

void unlock(void* mutex, std::source_location where) noexcept {
  if (!in_model()) return;
  operation op = access(action::store, mutex, 4, std::memory_order_release, where);
  op.operand = 0;
  m().perform(op);
}

namespace {

// The kernel looks at a word and queues the sleeper in one step with respect to wakes. So: look at
// the count of wakes (the stores of a thread that woke it before are seen), look at the word, sleep until the
// count differs. With several words, which of them ends the sleep is a choice; one that can't end
// it is no deadlock while another one can.
int sleep_on(std::span<const futex_word> words, std::int64_t deadline_ns, std::uint32_t classes,
             std::source_location where) noexcept {
  if (!in_model()) would_block("a futex");
  const bool may_expire = deadline_ns != INT64_MAX && !m().ignore_deadlines;
  if (may_expire && m().explore_timeouts) {
    operation expires = access(action::choice, nullptr, 0, std::memory_order_relaxed, where);
    expires.operand = 2;
    m().perform(expires);
    if (expires.value == 1) {
      m().pass_time(deadline_ns);
      return -ETIME;
    }
  }
  std::array<sleeping_place, futex_words_max> places;
  const std::uint64_t mask = each_class(classes, UINT32_MAX);
  for (std::size_t i = 0; i < words.size(); ++i) {
    operation look = queue_access(action::load, words[i].word, std::memory_order_acquire, where);
    m().perform(look);
    if (load(words[i].word, 4, std::memory_order_relaxed, where) != words[i].expected) return 0;
    places[i] = {.at = look.at,
                 .until = {.mask = mask, .wanted = look.value & mask, .equal = false}};
  }
  std::size_t which = 0;
  if (words.size() > 1) {
    operation choice = access(action::choice, nullptr, 0, std::memory_order_relaxed, where);
    choice.operand = words.size();
    m().perform(choice);
    which = choice.value;
  }
  operation sleep = queue_access(action::load, words[which].word, std::memory_order_relaxed, where);
  sleep.waits = waiting::sleep;
  sleep.may_expire = may_expire;
  sleep.until = places[which].until;
  sleep.places = {places.data(), words.size()};
  m().perform(sleep);
  return 0;
}

}  // namespace

int futex_wait(const void* word, std::uint32_t expected, std::int64_t deadline_ns,
               std::uint32_t classes, std::source_location where) noexcept {
  const futex_word one{.word = word, .expected = expected};
  return sleep_on({&one, 1}, deadline_ns, classes, where);
}

int futex_wait_any(std::span<const futex_word> words, std::int64_t deadline_ns,
                   std::source_location where) noexcept {
  constexpr std::uint32_t any_class = UINT32_MAX;
  if (!in_model() || !m().has_futex_waitv || words.size() > futex_words_max) return -ENOSYS;
  return sleep_on(words, deadline_ns, any_class, where);
}

void futex_wake(const void* word, std::uint32_t classes, std::source_location where) noexcept {
  if (!in_model()) return;
  operation wake = queue_access(action::modify, word, std::memory_order_release, where);
  wake.how = modification::add;
  wake.operand = each_class(classes, 1);
  m().perform(wake);
}

void* allocate(std::size_t bytes, std::size_t alignment, std::source_location where) noexcept {
  if (mode::now == mode::outside) {
    return std::aligned_alloc(alignment, (bytes + alignment - 1) & ~(alignment - 1));
  }
  const mode::place place = mode::now;
  mode::outside_scope outside;
  return m().allocate(bytes, alignment, false, place == mode::prelude, where);
}

void deallocate(void* memory, std::source_location where) noexcept {
  if (memory == nullptr) return;
  if (mode::running == nullptr || !m().owns(memory)) {
    std::free(memory);
    return;
  }
  if (mode::now == mode::outside) return;  // of an execution that is over
  const mode::place place = mode::now;
  mode::outside_scope outside;
  m().free(memory, place == mode::prelude, where);
}

void* allocate_pages(std::size_t bytes, std::source_location where) noexcept {
  if (mode::now == mode::outside) {
    void* at = std::aligned_alloc(bytes, bytes);
    return at == nullptr ? nullptr : std::memset(at, 0, bytes);
  }
  const mode::place place = mode::now;
  mode::outside_scope outside;
  return m().allocate(bytes, 0, true, place == mode::prelude, where);
}

// A thread that reads an atomic object there meanwhile sees what it had, or 0: a store, which orders
// nothing. What others may not touch now (poison()) is zeroed without more.
void give_pages_back(void* pages, std::size_t bytes, std::source_location where) noexcept {
  std::vector<std::uintptr_t> atomics;
  if (in_model()) {
    mode::outside_scope outside;
    atomics = m().atomics_in(pages, bytes);
  }
  constexpr unsigned word = 4;
  for (const std::uintptr_t at : atomics) {
    store(reinterpret_cast<void*>(at), word, 0, std::memory_order_relaxed, where);
  }
  std::memset(pages, 0, bytes);
}

void poison(const void* memory, std::size_t bytes, bool on, std::source_location where) noexcept {
  if (mode::now == mode::outside) return;
  mode::outside_scope outside;
  m().poison(memory, bytes, on, where);
}

void* thread_local_data(const void* key, std::size_t bytes, void (*make)(void*)) noexcept {
  if (mode::now == mode::outside) return nullptr;
  mode::outside_scope outside;
  return m().thread_local_data(key, bytes, make);
}

std::int64_t now_ns() noexcept { return mode::now == mode::outside ? 0 : m().now_ns(); }

}  // namespace ufence::lab::hooks
