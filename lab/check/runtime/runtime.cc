#include "lab/check/runtime/runtime.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "lab/engine/text.h"

namespace ufence::lab::check {
namespace {

constinit std::array<thread_data, max_threads> all_data{};

operation access_of(const waiting_access& access, action what, std::memory_order order,
                    std::source_location where) noexcept {
  constexpr std::uintptr_t not_an_address = std::uintptr_t{1} << 63;
  operation op;
  op.what = what;
  op.at = reinterpret_cast<std::uintptr_t>(access.at);
  if (access.is_queue) op.at |= not_an_address;
  op.is_abstract = access.is_queue;
  op.bytes = access.bytes;
  op.order = op.failure_order = order;
  op.where = where;
  op.waits = access.waits;
  op.until = access.until;
  op.may_expire = access.may_expire;
  return op;
}

// Where no model runs there is one thread, which acts on the memory.
std::uint64_t memory_value(const waiting_access& access) noexcept {
  std::uint64_t value = 0;
  if (!access.is_queue) std::memcpy(&value, access.at, access.bytes);
  return value;
}
void set_memory(const waiting_access& access, std::uint64_t value) noexcept {
  if (!access.is_queue) std::memcpy(const_cast<void*>(access.at), &value, access.bytes);
}

struct start {
  void* (*run)(void*);
  void* argument;
};

}  // namespace

thread_data& data_of(unsigned thread) noexcept { return all_data[thread]; }
thread_data& mine() noexcept { return all_data[mode::running == nullptr ? 0 : m().current()]; }

void fail(failure kind, const std::string& text) {
  if (!in_model()) {
    static_cast<void>(std::fprintf(stderr, "%s: before main() %s\n",
                                   std::string(to_string(kind)).c_str(), text.c_str()));
    std::_Exit(kind == failure::not_explorable ? 3 : 1);
  }
  mode::now = mode::outside;
  m().fail_here(kind, text);
}

void fail_at(failure kind, const std::string& what, std::source_location where) {
  const bool is_inside = in_model();
  std::string text;
  {
    mode::outside_scope outside;
    text = is_inside ? thread_name(m().current()) + " at " + place_name(where) + " " + what
                     : "the program " + what;
  }
  fail(kind, text);
}

std::uint64_t choose(std::uint64_t n, std::source_location where) {
  if (!in_model()) return 0;
  operation op;
  op.what = action::choice;
  op.operand = n;
  op.where = where;
  m().perform(op);
  return op.value;
}

void read(const void* at, std::size_t bytes, std::source_location where) noexcept {
  if (!in_model() || bytes == 0) return;
  mode::outside_scope outside;
  m().raw_read(at, bytes, false, where);
}
void read_copied(const void* at, std::size_t bytes, std::source_location where) noexcept {
  if (!in_model() || bytes == 0) return;
  mode::outside_scope outside;
  m().raw_read(at, bytes, true, where);
}
void write(const void* at, std::size_t bytes, std::source_location where) noexcept {
  if (!in_model() || bytes == 0) return;
  mode::outside_scope outside;
  m().raw_write(at, bytes, where);
}

std::uint64_t load(const waiting_access& access, std::memory_order order,
                   std::source_location where) {
  if (!in_model()) return memory_value(access);
  hooks::clear_dead_stack();
  operation op = access_of(access, action::load, order, where);
  sleeping_place self{.at = op.at, .until = op.until};
  if (access.waits == waiting::sleep) op.places = {&self, 1};
  m().perform(op);
  return op.value;
}

void store(const waiting_access& access, std::uint64_t value, std::source_location where) {
  if (!in_model()) return set_memory(access, value);
  hooks::clear_dead_stack();
  operation op = access_of(access, action::store, std::memory_order_release, where);
  op.operand = value;
  m().perform(op);
}

std::uint64_t modify(const waiting_access& access, modification how, std::uint64_t operand,
                     std::memory_order order, std::source_location where) {
  hooks::clear_dead_stack();
  operation op = access_of(access, action::modify, order, where);
  op.how = how;
  op.operand = operand;
  if (!in_model()) {
    const std::uint64_t old = memory_value(access);
    std::uint64_t written = old;
    if (!op.writes(old, written)) fail_at(failure::deadlock, "would wait for ever", where);
    set_memory(access, written);
    return old;
  }
  m().perform(op);
  return op.value;
}

bool compare_exchange(const waiting_access& access, std::uint64_t& expected, std::uint64_t desired,
                      std::source_location where, std::memory_order failure_order) {
  if (!in_model()) {
    const std::uint64_t old = memory_value(access);
    const bool is_expected = old == expected;
    if (is_expected) set_memory(access, desired);
    expected = old;
    return is_expected;
  }
  hooks::clear_dead_stack();
  operation op = access_of(access, action::compare, std::memory_order_acq_rel, where);
  op.failure_order = failure_order;
  op.expected = expected;
  op.operand = desired;
  m().perform(op);
  expected = op.value;
  return op.success;
}

void fence(std::memory_order order, std::source_location where) {
  if (!in_model()) return;
  hooks::clear_dead_stack();
  operation op;
  op.what = action::fence;
  op.order = order;
  op.where = where;
  m().perform(op);
}

std::int64_t deadline_of(const timespec* at, std::source_location where) {
  if (at == nullptr) return no_deadline;
  constexpr std::int64_t second_ns = 1'000'000'000;
  read(at, sizeof *at, where);
  return at->tv_sec >= no_deadline / second_ns ? no_deadline - 1
                                               : at->tv_sec * second_ns + at->tv_nsec;
}

wait_end choose_end(std::int64_t deadline_ns, bool may_end_early, std::source_location where) {
  constexpr unsigned surprises_max = 1;
  thread_data& d = mine();
  const bool has_deadline = deadline_ns != no_deadline;
  const unsigned ways = (has_deadline ? 1U : 0U) + (may_end_early ? 1U : 0U);
  if (d.surprises >= surprises_max) {
    counts().limits_surprises = true;
    return wait_end::as_it_should;
  }
  const std::uint64_t way = choose(ways + 1, where);
  if (way == 0) return wait_end::as_it_should;
  ++d.surprises;
  return way == 2 || !has_deadline ? wait_end::for_no_reason : wait_end::by_deadline;
}

wait_end end_of_wait(std::int64_t deadline_ns, bool may_end_early, std::source_location where) {
  const wait_end how = choose_end(deadline_ns, may_end_early, where);
  if (how == wait_end::by_deadline) m().pass_time(deadline_ns);
  return how;
}

std::int64_t read_clock(std::source_location where, const void* from) {
  if (!in_model()) return hooks::now_ns();
  constexpr unsigned looks_max = 3;
  constexpr std::int64_t hour_ns = 3'600'000'000'000;
  thread_data& d = mine();
  d.clock_looks = d.clock_from == from ? d.clock_looks + 1 : 1;
  d.clock_from = from;
  // Not the turn before once more: what the clock shows will be another time.
  if (d.clock_looks > 1) static_cast<void>(choose(1, where));
  if (d.clock_looks >= looks_max) m().pass_time(hooks::now_ns() + hour_ns);
  return hooks::now_ns();
}

unsigned next_thread() {
  mode::outside_scope outside;
  return m().next_child(m().current());
}

unsigned start_thread(void* (*run)(void*), void* argument, std::source_location where) {
  if (!in_model()) fail(failure::not_explorable, "a thread is started before main()");
  // The function that the thread is to run lies in the data of its number, which only the machine
  // knows.
  const unsigned child = next_thread();
  if (child < max_threads) {
    data_of(child).run = run;
    data_of(child).argument = argument;
  }
  operation op;
  op.what = action::spawn;
  op.where = where;
  op.run = [](void* data) {
    auto& d = *static_cast<thread_data*>(data);
    d.result = d.run(d.argument);
    end_thread();
  };
  op.argument = child < max_threads ? &data_of(child) : nullptr;
  m().perform(op);
  return static_cast<unsigned>(op.value);
}

void join_thread(unsigned thread, std::source_location where) {
  thread_data& d = data_of(thread);
  if (d.is_joined || d.is_detached) {
    fail_at(failure::misuse, "joins a thread that was joined or detached", where);
  }
  d.is_joined = true;
  operation op;
  op.what = action::join;
  op.operand = thread;
  op.where = where;
  m().perform(op);
}

}  // namespace ufence::lab::check
