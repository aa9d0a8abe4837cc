// The part that the files of the runtime share. A function of the C or C++ library that the
// explored program calls is found under its name with UFENCE_LAB_CALL's prefix; the program's
// objects are changed to call that (program/build.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <span>
#include <string>
#include <vector>

#include "lab/check/runtime/place.h"
#include "lab/check/runtime/thread_data.h"
#include "lab/engine/hooks.h"
#include "lab/engine/machine.h"
#include "lab/engine/mode.h"

#define UFENCE_LAB_EXPORT extern "C" [[gnu::visibility("default"), gnu::noinline]]
#define UFENCE_LAB_CALL(name) ufence_lab_c_##name
/// Where the caller of the function is.
#define UFENCE_LAB_HERE ::ufence::lab::check::location_of(__builtin_return_address(0))

namespace ufence::lab::check {

[[nodiscard]] inline machine& m() noexcept { return *mode::running; }
[[nodiscard]] inline bool in_model() noexcept { return mode::now == mode::model; }

/// Ends the execution: something is wrong with the program, or not known of it.
[[noreturn]] void fail(failure kind, const std::string& text);
[[noreturn]] void fail_at(failure kind, const std::string& what, std::source_location where);

/// Any of 0 to n-1.
[[nodiscard]] std::uint64_t choose(std::uint64_t n, std::source_location where);

/// Plain accesses of the runtime for the program: of what its pointers lead to.
void read(const void* at, std::size_t bytes, std::source_location where) noexcept;
void write(const void* at, std::size_t bytes, std::source_location where) noexcept;
/// The same for what may have padding, or be copied before it is used.
void read_copied(const void* at, std::size_t bytes, std::source_location where) noexcept;

/// An access that is done once what it reads suits it.
struct waiting_access {
  const void* at = nullptr;
  unsigned bytes = 4;
  bool is_queue = false;  // not the memory there, but what the system keeps for it
  waiting waits = waiting::no;
  condition until = {};
  bool may_expire = false;
};
std::uint64_t load(const waiting_access& access, std::memory_order order,
                   std::source_location where);
void store(const waiting_access& access, std::uint64_t value, std::source_location where);
std::uint64_t modify(const waiting_access& access, modification how, std::uint64_t operand,
                     std::memory_order order, std::source_location where);
/// True: it was `expected`, which becomes what was read.
bool compare_exchange(const waiting_access& access, std::uint64_t& expected, std::uint64_t desired,
                      std::source_location where,
                      std::memory_order failure_order = std::memory_order_acquire);

void fence(std::memory_order order, std::source_location where);

constexpr std::int64_t no_deadline = INT64_MAX;
/// The program's deadline, in the time of now_ns(); null: none.
[[nodiscard]] std::int64_t deadline_of(const timespec* at, std::source_location where);
/// A wait may end for no reason, or by its deadline: once in a thread's execution each is tried.
enum class wait_end : std::uint8_t { as_it_should, by_deadline, for_no_reason };
/// How a wait that begins ends.
[[nodiscard]] wait_end choose_end(std::int64_t deadline_ns, bool may_end_early,
                                  std::source_location where);
/// The same. By its deadline: the thread is that late now.
[[nodiscard]] wait_end end_of_wait(std::int64_t deadline_ns, bool may_end_early,
                                   std::source_location where);
/// The clock. A loop that looks at it ends by it: what looks again and again at one place finds
/// that an hour has passed.
[[nodiscard]] std::int64_t read_clock(std::source_location where, const void* from);

/// The number that the next thread gets which this one starts.
[[nodiscard]] unsigned next_thread();
/// A thread of the program; the number of it.
[[nodiscard]] unsigned start_thread(void* (*run)(void*), void* argument,
                                    std::source_location where);
void join_thread(unsigned thread, std::source_location where);

/// An exception that nobody catches is a failure.
void notice_uncaught_exceptions();
/// So is an access to what is not there, and what else ends a program by a signal of its own.
void notice_crashes();

/// The explored program, once it is loaded.
struct loaded_program {
  std::string path;
  std::uintptr_t base = 0;
  const char* thread_image = nullptr;  // of its thread-local data
  std::size_t thread_image_bytes = 0;
  std::size_t thread_bytes = 0;
  std::size_t module = 0;
  int (*main)(int, char**, char**) = nullptr;  // nullptr: a library that has none
  void* handle = nullptr;
  struct segment {
    std::span<char> at;
    std::vector<char> first;  // as it was when it was loaded
  };
  std::vector<segment> segments;
};
/// Once, outside of everything.
void prepare_program(const std::string& path);
/// Loads it, within a prelude: its static objects are made. For a second exploration in the same
/// process it is as it was.
/// @return  what dlsym() takes
void* load_program();
[[nodiscard]] const loaded_program& program() noexcept;
/// Runs main() and what stands at the program's end.
void run_program();

}  // namespace ufence::lab::check
