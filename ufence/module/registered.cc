#include "ufence/module/registered.h"

#include <argp.h>
#include <dlfcn.h>
#include <errno.h>
#include <error.h>
#include <limits.h>
#include <obstack.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <exception>
#include <ios>
#include <iostream>
#include <locale>
#include <memory_resource>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "ufence/module/exit_functions.h"
#include "ufence/module/open_streams.h"

// Does a sanitizer stand between the program and its signal handlers?
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UFENCE_WRAPS_HANDLERS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UFENCE_WRAPS_HANDLERS 1
#endif
#endif
#ifndef UFENCE_WRAPS_HANDLERS
#define UFENCE_WRAPS_HANDLERS 0
#endif

namespace ufence::detail {

// std::get_unexpected(): it is not in C++ any more, but in its library.
extern "C" [[gnu::weak]] void (*get_unexpected() noexcept)() __asm__("_ZSt14get_unexpectedv");

namespace {

// The C library's table of keys. It is known by its name, and checked with a key of ours before it is
// believed.
struct key_entry {
  std::uintptr_t sequence;  // odd: in use
  void (*destructor)(void*);
};

void no_destructor(void*) {}

// Null: it could not be found.
const key_entry* find_keys() noexcept {
  const auto* const table = static_cast<const key_entry*>(::dlsym(RTLD_DEFAULT, "__pthread_keys"));
  pthread_key_t probe = 0;
  if (table == nullptr || ::pthread_key_create(&probe, &no_destructor) != 0) return nullptr;
  const bool is_it = probe < PTHREAD_KEYS_MAX && table[probe].destructor == &no_destructor &&
                     (table[probe].sequence & 1) != 0;
  ::pthread_key_delete(probe);
  return is_it ? table : nullptr;
}

#if defined(__GLIBCXX__)
// Of the C++ library's locales: what they begin with, and since ever.
struct locale_parts {
  int references;
  const void* const* facets;
  std::size_t count;
};
static_assert(sizeof(std::locale) == sizeof(const locale_parts*));

const locale_parts* parts_of(const std::locale& l) noexcept {
  const locale_parts* parts = nullptr;
  ::memcpy(&parts, static_cast<const void*>(&l), sizeof parts);
  return parts;
}

// The members that the streams' base class keeps to itself and its children.
class stream_callbacks : public std::ios_base {
 public:
  template <class Visit>
  static void visit_all(const std::ios_base& stream, Visit visit) {
    for (const _Callback_list* c = stream.*(&stream_callbacks::_M_callbacks); c != nullptr;
         c = c->_M_next) {
      visit(c->_M_fn);
    }
  }
};
#endif

// A signal's handler, or null. There are 64 of them, so the kernel is asked without detours; it puts the handler
// first. Sanitizers stand between a program and its handlers, so they are asked.
const void* handler_of(int signal) noexcept {
#if UFENCE_WRAPS_HANDLERS
  struct sigaction now {};
  return ::sigaction(signal, nullptr, &now) == 0 ? reinterpret_cast<const void*>(now.sa_sigaction) : nullptr;
#else
  constexpr std::size_t mask_size = 8;
  std::array<const void*, 32> now{};
  const long failed = ::syscall(SYS_rt_sigaction, signal, nullptr, now.data(), mask_size);
  return failed == 0 ? now.front() : nullptr;
#endif
}

const key_entry* keys_of_c_library() noexcept {
  static const key_entry* const keys = find_keys();
  return keys;
}

class look {
 public:
  look(address_range range, bool sets_signals) noexcept
      : range_(range), signals_end_(sets_signals ? NSIG : first_real_time) {}

  std::vector<std::string> run() {
    at_signals();
    at_environment();
    at_handlers();
    at_keys();
    at_streams();
    at_exception();
    for (std::string& function : exit_functions_in(range_)) found_.push_back(std::move(function));
    return std::move(found_);
  }

 private:
  // A description of it, or a function that makes one: seldom there is something to say.
  template <class Text>
  void add(Text what, const void* at) {
    if (at == nullptr || !range_.contains(at)) return;
    std::string text;
    if constexpr (std::is_invocable_v<Text>) {
      text = what();
    } else {
      text = what;
    }
    std::array<char, 32> address;
    ::snprintf(address.data(), address.size(), " at %p", at);
    found_.push_back(text + address.data());
  }
  template <class Text, class Function>
  void add_function(Text what, Function* function) {
    add(what, reinterpret_cast<const void*>(function));
  }

  void at_signals() {
    for (int signal = 1; signal < signals_end_; ++signal) {
      const auto text = [signal] {
        const char* const name = ::sigabbrev_np(signal);
        return "the handler of signal " +
               (name != nullptr ? "SIG" + std::string(name) : std::to_string(signal));
      };
      add(text, handler_of(signal));
    }
    stack_t stack{};
    if (::sigaltstack(nullptr, &stack) == 0 && (stack.ss_flags & SS_DISABLE) == 0) {
      add("this thread's signal stack", stack.ss_sp);
    }
  }

  // As getenv() does: a thread that changes it meanwhile breaks every reader.
  void at_environment() {
    add("the environment", static_cast<const void*>(::environ));
    if (::environ == nullptr || range_.contains(static_cast<const void*>(::environ))) return;
    for (char** entry = ::environ; *entry != nullptr; ++entry) {
      const auto text = [entry] {
        const std::string_view whole(*entry);
        return "the environment variable " + std::string(whole.substr(0, whole.find('=')));
      };
      add(text, *entry);
    }
    add("the program's name", ::program_invocation_name);
    add("the program's short name", ::program_invocation_short_name);
  }

  void at_handlers() {
    add_function("the terminate handler", std::get_terminate());
    add_function("the new handler", std::get_new_handler());
    add_function("the function that error() calls", ::error_print_progname);
    add_function("the function that argp calls", ::argp_program_version_hook);
    add_function("the function that obstacks call", ::obstack_alloc_failed_handler);
    add("the version that argp tells", ::argp_program_version);
    add("the address that argp tells", ::argp_program_bug_address);
    add_object("the default memory resource", std::pmr::get_default_resource());
    if (&get_unexpected != nullptr) add_function("the unexpected handler", get_unexpected());
  }

  void at_keys() {
    const key_entry* const keys = keys_of_c_library();
    if (keys == nullptr) return;
    for (std::size_t key = 0; key < PTHREAD_KEYS_MAX; ++key) {
      const key_entry& e = keys[key];
      const auto text = [key] { return "the destructor of thread key " + std::to_string(key); };
      if ((e.sequence & 1) != 0) add_function(text, e.destructor);  // odd: in use
    }
  }

  void at_streams() {
    add("the buffer of stdin", stdin->_IO_buf_base);
    add("the buffer of stdout", stdout->_IO_buf_base);
    add("the buffer of stderr", stderr->_IO_buf_base);
    for (const used_by_stream& used : used_by_open_streams(range_)) add(used.what, used.at);
    const std::locale now;
    at_locale("the C++ locale", now);
    at_stream("std::cin", std::cin, now);
    at_stream("std::cout", std::cout, now);
    at_stream("std::cerr", std::cerr, now);
    at_stream("std::clog", std::clog, now);
    at_stream("std::wcin", std::wcin, now);
    at_stream("std::wcout", std::wcout, now);
    at_stream("std::wcerr", std::wcerr, now);
    at_stream("std::wclog", std::wclog, now);
  }
  // Somebody may unload in a handler: the exception goes when the handler ends, after its class.
  void at_exception() {
#if defined(__GLIBCXX__)
    const std::exception_ptr handled = std::current_exception();
    if (handled != nullptr) add("the class of the exception that is being handled", handled.__cxa_exception_type());
#endif
  }
  // An object may lie in the range, or its class, by the table of its functions.
  template <class Text>
  void add_object(Text what, const void* object) {
    if (object == nullptr) return;
    const void* const functions = *static_cast<const void* const*>(object);
    add(what, range_.contains(object) ? object : functions);
  }
  template <class Stream>
  void at_stream(std::string_view name, const Stream& stream, const std::locale& global) {
    add_object([name] { return "the buffer of " + std::string(name); }, stream.rdbuf());
    const auto tied = [name] { return "the stream tied to " + std::string(name); };
    add_object(tied, stream.tie());
    const void* const other = stream.tie();
    const bool is_looked_at = other == &std::cout || other == &std::wcout;
    if (other != nullptr && !is_looked_at) add_object(tied, stream.tie()->rdbuf());
    const std::locale own = stream.getloc();
    if (own != global) at_locale("the locale of " + std::string(name), own);
#if defined(__GLIBCXX__)
    stream_callbacks::visit_all(stream, [&](auto* callback) {
      add_function([name] { return "a callback of " + std::string(name); }, callback);
    });
#endif
  }
  void at_locale([[maybe_unused]] const std::string& name, [[maybe_unused]] const std::locale& l) {
#if defined(__GLIBCXX__)
    const locale_parts* const parts = parts_of(l);
    if (parts == parts_of(std::locale::classic())) return;  // its facets are the C++ library's
    for (std::size_t n = 0; n < parts->count; ++n) {
      add_object([&name] { return "a facet of " + name; }, parts->facets[n]);
    }
#endif
  }

  static constexpr int first_real_time = 32;  // of the kernel's
  const address_range range_;
  const int signals_end_;
  std::vector<std::string> found_;
};

}  // namespace

address_range table_of_keys() noexcept {
  const auto begin = reinterpret_cast<std::uintptr_t>(keys_of_c_library());
  return {.begin = begin, .end = begin == 0 ? 0 : begin + PTHREAD_KEYS_MAX * sizeof(key_entry)};
}

std::vector<std::string> registered_in(address_range range, bool sets_signals) {
  return look(range, sets_signals).run();
}

}  // namespace ufence::detail
