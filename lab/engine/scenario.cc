#include "lab/engine/scenario.h"

#include <string>

#include "lab/engine/machine.h"
#include "lab/engine/mode.h"
#include "lab/engine/text.h"

namespace ufence::lab {
namespace {

void perform(operation& op) {
  if (mode::now == mode::model) mode::running->perform(op);
}

}  // namespace

namespace detail {

unsigned start_thread(const char* name, void (*run)(void*), void* argument,
                      std::source_location where) {
  operation op;
  op.what = action::spawn;
  op.run = run;
  op.argument = argument;
  op.where = where;
  perform(op);
  const auto number = static_cast<unsigned>(op.value);
  mode::running->name_thread(number, name);
  return number;
}

void join_thread(unsigned thread, std::source_location where) {
  operation op;
  op.what = action::join;
  op.operand = thread;
  op.where = where;
  perform(op);
}

void await(const void* at, unsigned bytes, condition until, std::memory_order order,
           std::source_location where) {
  operation op;
  op.what = action::load;
  op.waits = waiting::condition;
  op.until = until;
  op.at = reinterpret_cast<std::uintptr_t>(at);
  op.bytes = bytes;
  op.order = op.failure_order = order;
  op.where = where;
  perform(op);
}

void observe(std::initializer_list<std::int64_t> values) {
  mode::outside_scope outside;
  mode::running->observe(values);
}

void check_failed(const char* condition, std::source_location where) {
  mode::now = mode::outside;
  mode::running->fail_here(failure::check_failed,
                           "check failed at " + place_name(where) + ": " + condition);
}

}  // namespace detail

std::uint64_t choose(std::uint64_t n, std::source_location where) {
  operation op;
  op.what = action::choice;
  op.operand = n;
  op.where = where;
  perform(op);
  return op.value;
}

void thread_fence(std::memory_order order, std::source_location where) {
  operation op;
  op.what = action::fence;
  op.order = order;
  op.where = where;
  perform(op);
}

unsigned this_thread() { return mode::running->current(); }

void remark(const char* text, std::source_location where) {
  if (mode::now != mode::model) return;
  mode::outside_scope outside;
  mode::running->remark(text, where);
}

void name(const void* at, std::size_t bytes, const char* name) {
  mode::outside_scope outside;
  mode::running->name_memory(at, bytes, name);
}

}  // namespace ufence::lab
