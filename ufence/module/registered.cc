#include "ufence/module/registered.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <exception>
#include <ios>
#include <iostream>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>

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

class key_table {
 public:
  key_table() noexcept {
    const auto* const table = static_cast<const key_entry*>(::dlsym(RTLD_DEFAULT, "__pthread_keys"));
    pthread_key_t probe = 0;
    if (table == nullptr || ::pthread_key_create(&probe, &no_destructor) != 0) return;
    if (probe < PTHREAD_KEYS_MAX && table[probe].destructor == &no_destructor &&
        (table[probe].sequence & 1) != 0) {
      entries_ = table;
    }
    ::pthread_key_delete(probe);
  }
  // Null: it could not be found.
  const key_entry* entries() const noexcept { return entries_; }

 private:
  const key_entry* entries_ = nullptr;
};

class look {
 public:
  explicit look(address_range range) noexcept : range_(range) {}

  std::vector<std::string> run() {
    at_signals();
    at_environment();
    at_handlers();
    at_keys();
    at_streams();
    return std::move(found_);
  }

 private:
  // What it is, or a function that says what it is: seldom there is something to say.
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
    for (int signal = 1; signal < NSIG; ++signal) {
      struct sigaction now {};
      if (::sigaction(signal, nullptr, &now) != 0) continue;
      const auto text = [signal] {
        const char* const name = ::sigabbrev_np(signal);
        return "the handler of signal " +
               (name != nullptr ? "SIG" + std::string(name) : std::to_string(signal));
      };
      add_function(text, now.sa_sigaction);
    }
    stack_t stack{};
    if (::sigaltstack(nullptr, &stack) == 0 && (stack.ss_flags & SS_DISABLE) == 0) {
      add("this thread's signal stack", stack.ss_sp);
    }
  }

  // As getenv() does: whoever changes it meanwhile breaks every reader.
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
    if (&get_unexpected != nullptr) add_function("the unexpected handler", get_unexpected());
  }

  void at_keys() {
    const key_table keys;
    if (keys.entries() == nullptr) return;
    for (std::size_t key = 0; key < PTHREAD_KEYS_MAX; ++key) {
      const key_entry& e = keys.entries()[key];
      const auto text = [key] { return "the destructor of thread key " + std::to_string(key); };
      if ((e.sequence & 1) != 0) add_function(text, e.destructor);  // odd: in use
    }
  }

  void at_streams() {
    add("the buffer of stdin", stdin->_IO_buf_base);
    add("the buffer of stdout", stdout->_IO_buf_base);
    add("the buffer of stderr", stderr->_IO_buf_base);
    at_stream("std::cin", std::cin);
    at_stream("std::cout", std::cout);
    at_stream("std::cerr", std::cerr);
    at_stream("std::clog", std::clog);
    at_stream("std::wcout", std::wcout);
    at_stream("std::wcerr", std::wcerr);
  }
  // The buffer may lie in the range, or its class, by the table of its functions.
  template <class Stream>
  void at_stream(std::string_view name, const Stream& stream) {
    const void* const buffer = stream.rdbuf();
    if (buffer == nullptr) return;
    const void* const functions = *static_cast<const void* const*>(buffer);
    const auto text = [name] { return "the buffer of " + std::string(name); };
    add(text, range_.contains(buffer) ? buffer : functions);
  }

  const address_range range_;
  std::vector<std::string> found_;
};

}  // namespace

std::vector<std::string> registered_in(address_range range) { return look(range).run(); }

}  // namespace ufence::detail
