#include "ufence/module/imports.h"

#include <cxxabi.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace ufence::detail {
namespace {

using namespace std::string_view_literals;

constexpr std::array thread_starters = {
    "pthread_create"sv, "thrd_create"sv,  "clone"sv,       "__clone"sv,    "__clone2"sv,
    "clone3"sv,         "timer_create"sv, "mq_notify"sv,   "aio_read"sv,   "aio_read64"sv,
    "aio_write"sv,      "aio_write64"sv,  "aio_fsync"sv,   "aio_fsync64"sv, "lio_listio"sv,
    "lio_listio64"sv,   "getaddrinfo_a"sv,
    // of other libraries: threads in their caller's code
    "uv_thread_create"sv, "uv_thread_create_ex"sv, "g_thread_new"sv, "g_thread_try_new"sv,
    "g_thread_create_full"sv, "SDL_CreateThread"sv, "SDL_CreateThreadWithStackSize"sv,
    "apr_thread_create"sv, "PR_CreateThread"sv, "zmq_threadstart"sv, "zactor_new"sv,
};
// std::thread and what is built on it, boost::thread, QThread.
constexpr std::array thread_starter_prefixes = {"_ZNSt6thread15_M_start_thread"sv,
                                                "_ZN5boost6thread21start_thread_noexceptE"sv,
                                                "_ZN7QThread5startE"sv};

constexpr std::array key_makers = {"pthread_key_create"sv, "__pthread_key_create"sv, "tss_create"sv};

// The thing that a function leaves behind, and what its caller has to do about it before exit() returns.
struct registration {
  std::string_view function, what, remedy;
  bool is_seen;  // the unload looks at it
};
constexpr std::string_view signals = "a signal handler", restore = "put the old one back",
                           no_way_back = "there is no way back: do without it";
constexpr auto registrations = std::to_array<registration>({
    registration{"sigaction", signals, restore, true},
    registration{"signal", signals, restore, true},
    registration{"bsd_signal", signals, restore, true},
    registration{"sysv_signal", signals, restore, true},
    registration{"__sysv_signal", signals, restore, true},
    registration{"sigset", signals, restore, true},
    registration{"setitimer", "a timer that sends signals", "disarm it", false},
    registration{"alarm", "a timer that sends signals", "disarm it", false},
    registration{"ualarm", "a timer that sends signals", "disarm it", false},
    registration{"sigaltstack", "a signal stack of this thread", "disable it", true},
    registration{"on_exit", "a function that exit() calls", "use atexit(), which ends with the module", true},
    registration{"putenv", "memory in the environment", "use setenv(), which copies", true},
    registration{"openlog", "the name in the system log", "call closelog()", false},
    registration{"setvbuf", "the buffer of a stream", "give the stream another one", true},
    registration{"setbuf", "the buffer of a stream", "give the stream another one", true},
    registration{"setbuffer", "the buffer of a stream", "give the stream another one", true},
    registration{"_ZSt13set_terminatePFvvE", "the terminate handler", restore, true},
    registration{"_ZSt14set_unexpectedPFvvE", "the unexpected handler", restore, true},
    registration{"_ZSt15set_new_handlerPFvvE", "the new handler", restore, true},
    registration{"_ZNSt9basic_iosIcSt11char_traitsIcEE5rdbufEPSt15basic_streambufIcS1_E",
                 "the buffer of a C++ stream", restore, true},
    registration{"_ZNSt9basic_iosIwSt11char_traitsIwEE5rdbufEPSt15basic_streambufIwS1_E",
                 "the buffer of a C++ stream", restore, true},
    registration{"_ZNSt8ios_base17register_callbackEPFvNS_5eventERS_iEi", "a callback of a C++ stream",
                 "use a stream of its own", true},
    registration{"_ZNSt6locale6globalERKS_", "the C++ locale", restore, true},
    registration{"__register_frame", "a table for unwinding", "call __deregister_frame()", false},
    registration{"__register_frame_info", "a table for unwinding", "call __deregister_frame_info()",
                 false},
    registration{"__register_frame_table", "a table for unwinding", "call __deregister_frame_info()",
                 false},
    registration{"pthread_key_create", "a key with a destructor", "call pthread_key_delete()", true},
    registration{"__pthread_key_create", "a key with a destructor", "call pthread_key_delete()", true},
    registration{"tss_create", "a key with a destructor", "call tss_delete()", true},
    registration{"register_printf_function", "a conversion of printf()", no_way_back, false},
    registration{"register_printf_specifier", "a conversion of printf()", no_way_back, false},
    registration{"register_printf_modifier", "a conversion of printf()", no_way_back, false},
    registration{"register_printf_type", "a conversion of printf()", no_way_back, false},
    registration{"fopencookie", "functions of a stream", "close the stream", false},
    registration{"fmemopen", "the memory of a stream", "close the stream", false},
    registration{"uselocale", "the locale of this thread", restore, false},
    registration{"mallopt", "settings of malloc()", no_way_back, false},
    registration{"mtrace", "a trace of malloc()", "call muntrace()", false},
    registration{"rl_set_prompt", "the prompt of readline", restore, false},
    registration{"OPENSSL_atexit", "a function that OpenSSL calls at the end", no_way_back, false},
    registration{"OPENSSL_thread_stop_ex", "threads' state of OpenSSL", no_way_back, false},
    registration{"CRYPTO_set_mem_functions", "the allocator of OpenSSL", no_way_back, false},
    registration{"ERR_load_strings", "error texts in OpenSSL", "call ERR_unload_strings()", false},
    registration{"error_print_progname", "a function that error() calls", restore, true},
    registration{"argp_program_version_hook", "a function that argp calls", restore, true},
    registration{"obstack_alloc_failed_handler", "a function that obstacks call", restore, true},
    registration{"SDL_AddTimer", "a timer of SDL", "call SDL_RemoveTimer()", false},
    registration{"g_timeout_add", "a source of GLib's main loop", "call g_source_remove()", false},
    registration{"g_timeout_add_full", "a source of GLib's main loop", "call g_source_remove()", false},
    registration{"g_timeout_add_seconds", "a source of GLib's main loop", "call g_source_remove()", false},
    registration{"g_idle_add", "a source of GLib's main loop", "call g_source_remove()", false},
    registration{"g_idle_add_full", "a source of GLib's main loop", "call g_source_remove()", false},
    registration{"PyCFunction_NewEx", "functions in Python", "remove them there", false},
    registration{"PyCMethod_New", "functions in Python", "remove them there", false},
    registration{"PyModule_Create2", "functions in Python", "remove them there", false},
    registration{"PyImport_AppendInittab", "a module of Python", no_way_back, false},
    registration{"Py_AtExit", "a function that Python calls at its end", no_way_back, false},
    registration{"sqlite3_auto_extension", "a function that SQLite calls",
                 "call sqlite3_cancel_auto_extension()", false},
    registration{"xmlSetGenericErrorFunc", "the error function of libxml2", restore, false},
    registration{"g_log_set_default_handler", "the log function of GLib", restore, false},
    registration{"g_log_set_writer_func", "the log function of GLib", no_way_back, false},
});

// Types of GObject stay in it for as long as the process lives, with the functions of their classes.
constexpr std::array type_makers = {
    "g_type_register_static"sv,         "g_type_register_static_simple"sv,
    "g_type_register_fundamental"sv,    "g_boxed_type_register_static"sv,
    "g_pointer_type_register_static"sv, "g_enum_register_static"sv,
    "g_flags_register_static"sv,        "g_param_type_register_static"sv};

// Functions that libraries use harmlessly, for themselves: no reason to keep them mapped.
constexpr std::array harmless_in_libraries = {"setitimer"sv, "alarm"sv, "ualarm"sv, "uselocale"sv,
                                              "mallopt"sv, "fopencookie"sv, "fmemopen"sv, "openlog"sv,
                                              "ERR_load_strings"sv};

// Most imports are none of these: one look tells it of nearly all.
constexpr std::size_t mark_of(std::string_view name) noexcept {
  return name.empty() ? 0
                      : (name.size() * 31 + static_cast<unsigned char>(name.front()) * 7 +
                         static_cast<unsigned char>(name.back())) %
                            1024;
}
constexpr auto registration_marks = [] {
  std::array<bool, 1024> marks{};
  for (const registration& r : registrations) marks[mark_of(r.function)] = true;
  return marks;
}();

const registration* find(std::string_view function) noexcept {
  if (!registration_marks[mark_of(function)]) return nullptr;
  const auto found = std::ranges::find(registrations, function, &registration::function);
  return found != registrations.end() ? &*found : nullptr;
}

// Flavours of liburcu have these names with their own in front.
bool queues_rcu(std::string_view name) noexcept {
  return name.ends_with("call_rcu") || name.ends_with("defer_rcu");
}
bool waits_for_rcu(std::string_view name, bool is_deferred) noexcept {
  return name.contains("rcu") && name.contains("barrier") && name.contains("defer") == is_deferred;
}

// A barrier of the same sort is imported as well: then the driver is trusted to call it.
bool has_barrier_of(const elf_file& file, std::string_view function) noexcept {
  return std::ranges::any_of(file.symbols, [&](const elf_symbol& s) {
    return waits_for_rcu(s.name, function.ends_with("defer_rcu"));
  });
}

}  // namespace

bool starts_threads(std::string_view function) noexcept {
  return std::ranges::find(thread_starters, function) != thread_starters.end() ||
         std::ranges::any_of(thread_starter_prefixes, [function](std::string_view prefix) {
           return function.starts_with(prefix);
         });
}

std::string_view instead_of_thread_starter(std::string_view function) noexcept {
  if (function == "timer_create" || function == "mq_notify") {
    return "wait on a thread that thread_start() of the host starts";
  }
  if (function.starts_with("aio_") || function.starts_with("lio_") || function == "getaddrinfo_a") {
    return "call the function that blocks, on a thread that thread_start() of the host starts";
  }
  return "start them with thread_start() of the host, which joins them";
}

std::string readable_name(std::string_view symbol) {
  const std::string name(symbol);
  int failed = 0;
  char* const shown = name.starts_with("_Z") ? abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &failed)
                                             : nullptr;
  std::string readable = shown != nullptr ? shown : name;
  std::free(shown);
  return readable;
}

bool makes_keys(std::string_view function) noexcept {
  return std::ranges::find(key_makers, function) != key_makers.end();
}

bool makes_types(std::string_view function) noexcept {
  return std::ranges::find(type_makers, function) != type_makers.end();
}

bool sets_signals(std::string_view function) noexcept {
  const registration* const r = find(function);
  return r != nullptr && r->what == signals;
}

bool leaves_unseen(std::string_view function) noexcept {
  if (makes_types(function)) return true;
  const registration* const r = find(function);
  return r != nullptr && !r->is_seen &&
         std::ranges::find(harmless_in_libraries, function) == harmless_in_libraries.end();
}

std::vector<std::string> warnings_of_imports(const elf_file& file) {
  std::vector<std::string> warnings;
  for (const elf_symbol& s : file.symbols) {
    if (s.is_defined) continue;
    if (queues_rcu(s.name) && !has_barrier_of(file, s.name)) {
      warnings.push_back("D-22: imports " + readable_name(s.name) +
                         ", but no barrier: a callback that is pending when exit() returns runs in "
                         "unmapped code; call the flavour's barrier in stop() or exit()");
    }
    const registration* const r = find(s.name);
    if (r == nullptr) continue;
    warnings.push_back("D-21: imports " + readable_name(s.name) + ": if it leaves " +
                       std::string(r->what) + " behind, " + std::string(r->remedy) +
                       (r->remedy == no_way_back ? "" : " before exit() returns") + "; the unload " +
                       (r->is_seen ? "looks, and keeps the module mapped" : "can't see it"));
  }
  return warnings;
}

}  // namespace ufence::detail
