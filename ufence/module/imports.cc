#include "ufence/module/imports.h"

#include <cxxabi.h>

#include <algorithm>
#include <array>
#include <cstdint>
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
    "PyThread_start_new_thread"sv, "Tcl_CreateThread"sv,
};
// std::thread and what is built on it, boost::thread, QThread, Glib::Threads.
constexpr std::array thread_starter_prefixes = {"_ZNSt6thread15_M_start_thread"sv,
                                                "_ZN5boost6thread21start_thread_noexceptE"sv,
                                                "_ZN7QThread5startE"sv, "_ZN4Glib7Threads6Thread6createE"sv};

constexpr std::array key_makers = {"pthread_key_create"sv, "__pthread_key_create"sv, "tss_create"sv};

// Where the unload looks for what a function leaves behind.
enum class seen : std::uint8_t {
  no,
  always,
  in_c_library,  // in the static data of the C library, if the function is imported
  in_printf,     // in the table of printf(), if the function is imported
  in_library,    // in the static data of the library that has the function
};

// The thing that a function leaves behind, and what its caller has to do about it before exit() returns.
struct registration {
  std::string_view function, what, remedy;
  seen where;
};
constexpr std::string_view signals = "a signal handler", restore = "put the old one back",
                           no_way_back = "there is no way back: do without it",
                           glib_source = "a source of GLib's main loop", remove_source = "call g_source_remove()",
                           python = "functions in Python";
constexpr auto registrations = std::to_array<registration>({
    registration{"sigaction", signals, restore, seen::always},
    registration{"signal", signals, restore, seen::always},
    registration{"bsd_signal", signals, restore, seen::always},
    registration{"sysv_signal", signals, restore, seen::always},
    registration{"__sysv_signal", signals, restore, seen::always},
    registration{"sigset", signals, restore, seen::always},
    registration{"setitimer", "a timer that sends signals", "disarm it", seen::no},
    registration{"alarm", "a timer that sends signals", "disarm it", seen::no},
    registration{"ualarm", "a timer that sends signals", "disarm it", seen::no},
    registration{"sigaltstack", "a signal stack of this thread", "disable it", seen::always},
    registration{"on_exit", "a function that exit() calls", "use atexit(), which ends with the module", seen::always},
    registration{"putenv", "memory in the environment", "use setenv(), which copies", seen::always},
    registration{"openlog", "the name in the system log", "call closelog()", seen::in_c_library},
    registration{"setvbuf", "the buffer of a stream", "give the stream another one", seen::always},
    registration{"setbuf", "the buffer of a stream", "give the stream another one", seen::always},
    registration{"setbuffer", "the buffer of a stream", "give the stream another one", seen::always},
    registration{"_ZSt13set_terminatePFvvE", "the terminate handler", restore, seen::always},
    registration{"_ZSt14set_unexpectedPFvvE", "the unexpected handler", restore, seen::always},
    registration{"_ZSt15set_new_handlerPFvvE", "the new handler", restore, seen::always},
    registration{"_ZNSt9basic_iosIcSt11char_traitsIcEE5rdbufEPSt15basic_streambufIcS1_E",
                 "the buffer of a C++ stream", restore, seen::always},
    registration{"_ZNSt9basic_iosIwSt11char_traitsIwEE5rdbufEPSt15basic_streambufIwS1_E",
                 "the buffer of a C++ stream", restore, seen::always},
    registration{"_ZNSt8ios_base17register_callbackEPFvNS_5eventERS_iEi", "a callback of a C++ stream",
                 "use a stream of its own", seen::always},
    registration{"_ZNSt6locale6globalERKS_", "the C++ locale", restore, seen::always},
    registration{"__register_frame", "a table for unwinding", "call __deregister_frame()", seen::no},
    registration{"__register_frame_info", "a table for unwinding", "call __deregister_frame_info()",
                 seen::no},
    registration{"__register_frame_table", "a table for unwinding", "call __deregister_frame_info()",
                 seen::no},
    registration{"pthread_key_create", "a key with a destructor", "call pthread_key_delete()", seen::always},
    registration{"__pthread_key_create", "a key with a destructor", "call pthread_key_delete()", seen::always},
    registration{"tss_create", "a key with a destructor", "call tss_delete()", seen::always},
    registration{"register_printf_function", "a conversion of printf()", "register null in its place",
                 seen::in_printf},
    registration{"register_printf_specifier", "a conversion of printf()", "register null in its place",
                 seen::in_printf},
    registration{"register_printf_modifier", "a conversion of printf()", no_way_back, seen::no},
    registration{"register_printf_type", "a conversion of printf()", no_way_back, seen::no},
    registration{"fopencookie", "functions of a stream", "close the stream", seen::always},
    registration{"fmemopen", "the memory of a stream", "close the stream", seen::always},
    registration{"uselocale", "the locale of this thread", restore, seen::no},
    registration{"mallopt", "settings of malloc()", no_way_back, seen::no},
    registration{"mtrace", "a trace of malloc()", "call muntrace()", seen::no},
    registration{"rl_set_prompt", "the prompt of readline", restore, seen::no},
    registration{"OPENSSL_atexit", "a function that OpenSSL calls at the end", no_way_back, seen::no},
    registration{"OPENSSL_thread_stop_ex", "threads' state of OpenSSL", no_way_back, seen::no},
    registration{"CRYPTO_set_mem_functions", "the allocator of OpenSSL", no_way_back, seen::no},
    registration{"ERR_load_strings", "error texts in OpenSSL", "call ERR_unload_strings()", seen::no},
    registration{"error_print_progname", "a function that error() calls", restore, seen::always},
    registration{"argp_program_version_hook", "a function that argp calls", restore, seen::always},
    registration{"obstack_alloc_failed_handler", "a function that obstacks call", restore, seen::always},
    registration{"SDL_AddTimer", "a timer of SDL", "call SDL_RemoveTimer()", seen::no},
    registration{"g_timeout_add", glib_source, remove_source, seen::no},
    registration{"g_timeout_add_full", glib_source, remove_source, seen::no},
    registration{"g_timeout_add_seconds", glib_source, remove_source, seen::no},
    registration{"g_idle_add", glib_source, remove_source, seen::no},
    registration{"g_idle_add_full", glib_source, remove_source, seen::no},
    registration{"PyCFunction_NewEx", python, "remove them there", seen::no},
    registration{"PyCMethod_New", python, "remove them there", seen::no},
    registration{"PyModule_Create2", python, "remove them there", seen::no},
    registration{"PyImport_AppendInittab", "a module of Python", no_way_back, seen::no},
    registration{"Py_AtExit", "a function that Python calls at its end", no_way_back, seen::no},
    registration{"sqlite3_auto_extension", "a function that SQLite calls",
                 "call sqlite3_cancel_auto_extension()", seen::no},
    registration{"xmlSetGenericErrorFunc", "the error function of libxml2", restore, seen::no},
    registration{"g_log_set_default_handler", "the log function of GLib", restore, seen::no},
    registration{"g_log_set_writer_func", "the log function of GLib", no_way_back, seen::no},
    // Of the C and C++ libraries, besides.
    registration{"initstate", "the state of random()", "give it another one by setstate()", seen::in_c_library},
    registration{"setstate", "the state of random()", "give it another one by setstate()", seen::in_c_library},
    registration{"argp_program_version", "a text that argp tells", restore, seen::always},
    registration{"argp_program_bug_address", "a text that argp tells", restore, seen::always},
    registration{"_ZNSt3pmr20set_default_resourceEPNS_15memory_resourceE", "the default memory resource", restore,
                 seen::always},
    registration{"_ZSt25notify_all_at_thread_exitRSt18condition_variableSt11unique_lockISt5mutexE",
                 "what the end of this thread notifies", "notify at once", seen::no},
    registration{"_ZNSt13__future_base13_State_baseV211_Make_ready6_M_setEv",
                 "a promise that the end of this thread keeps", "keep it at once", seen::no},
    registration{"dlmopen", "threads of a library in a namespace of its own", "end them", seen::no},
    // Work for threads of libraries.
    registration{"_ZN3tbb6detail2r17enqueueERNS0_2d14taskEPNS2_15task_arena_baseE", "work for threads of TBB",
                 "wait for it", seen::no},
    registration{
        "_ZN3tbb6detail2r17enqueueERNS0_2d14taskERNS2_18task_group_contextEPNS2_15task_arena_baseE",
        "work for threads of TBB", "wait for it", seen::no},
    registration{"uv_queue_work", "work for threads of libuv", "wait for it", seen::no},
    registration{"g_thread_pool_new", "work for threads of GLib", "free the pool, and wait", seen::no},
    registration{"g_thread_pool_new_full", "work for threads of GLib", "free the pool, and wait", seen::no},
    registration{"g_task_run_in_thread", "work for threads of GLib", "wait for it", seen::no},
    registration{"apr_thread_pool_push", "work for threads of APR", "wait for it", seen::no},
    registration{"dispatch_async", "work for threads of libdispatch", "wait for it", seen::no},
    registration{"dispatch_async_f", "work for threads of libdispatch", "wait for it", seen::no},
    registration{"_ZN11QThreadPool5startEP9QRunnablei", "work for threads of Qt", "wait for it", seen::no},
    registration{"_ZN11QThreadPool5startESt8functionIFvvEEi", "work for threads of Qt", "wait for it", seen::no},
    registration{"clSetEventCallback", "a callback of OpenCL", "wait for the event", seen::no},
    registration{"MHD_start_daemon", "a daemon of libmicrohttpd", "stop it", seen::no},
    registration{"SDL_OpenAudio", "a callback of SDL", "close the device", seen::no},
    registration{"SDL_OpenAudioDevice", "a callback of SDL", "close the device", seen::no},
    // What libraries keep, where they have it from malloc() or for each thread.
    registration{"g_timeout_add_seconds_full", glib_source, remove_source, seen::no},
    registration{"g_timeout_add_once", glib_source, remove_source, seen::no},
    registration{"g_idle_add_once", glib_source, remove_source, seen::no},
    registration{"g_source_attach", glib_source, "call g_source_destroy()", seen::no},
    registration{"g_unix_signal_add", glib_source, remove_source, seen::no},
    registration{"g_unix_signal_add_full", glib_source, remove_source, seen::no},
    registration{"g_unix_fd_add", glib_source, remove_source, seen::no},
    registration{"g_unix_fd_add_full", glib_source, remove_source, seen::no},
    registration{"g_io_add_watch", glib_source, remove_source, seen::no},
    registration{"g_io_add_watch_full", glib_source, remove_source, seen::no},
    registration{"g_child_watch_add", glib_source, remove_source, seen::no},
    registration{"g_child_watch_add_full", glib_source, remove_source, seen::no},
    registration{"g_quark_from_static_string", "a text in GLib", "use g_quark_from_string(), which copies",
                 seen::no},
    registration{"g_intern_static_string", "a text in GLib", "use g_intern_string(), which copies", seen::no},
    registration{"g_log_set_handler", "a log function of GLib", "call g_log_remove_handler()", seen::no},
    registration{"g_log_set_handler_full", "a log function of GLib", "call g_log_remove_handler()", seen::no},
    registration{"g_signal_connect_data", "a handler in GObject", "disconnect it", seen::no},
    registration{"g_signal_connect_closure", "a handler in GObject", "disconnect it", seen::no},
    registration{"g_signal_add_emission_hook", "a hook in GObject", "call g_signal_remove_emission_hook()",
                 seen::no},
    registration{"g_object_weak_ref", "a function of an object of GObject", "call g_object_weak_unref()", seen::no},
    registration{"g_bus_own_name", "functions of a name of D-Bus", "call g_bus_unown_name()", seen::no},
    registration{"g_bus_watch_name", "functions of a name of D-Bus", "call g_bus_unwatch_name()", seen::no},
    registration{"CRYPTO_get_ex_new_index", "functions of an index of OpenSSL", "call CRYPTO_free_ex_index()",
                 seen::no},
    registration{"EVP_PKEY_meth_add0", "a method of OpenSSL", "call EVP_PKEY_meth_remove()", seen::no},
    registration{"EVP_PKEY_asn1_add0", "a method of OpenSSL", no_way_back, seen::no},
    registration{"ENGINE_add", "an engine of OpenSSL", "call ENGINE_remove()", seen::no},
    registration{"OSSL_PROVIDER_add_builtin", "a provider of OpenSSL", no_way_back, seen::no},
    registration{"OSSL_STORE_register_loader", "a loader of OpenSSL", "call OSSL_STORE_unregister_loader()",
                 seen::no},
    registration{"OSSL_trace_set_callback", "a trace function of OpenSSL", restore, seen::in_library},
    registration{"X509V3_EXT_add", "an extension of OpenSSL", "call X509V3_EXT_cleanup()", seen::no},
    registration{"CONF_module_add", "a module of OpenSSL", "call CONF_modules_unload()", seen::no},
    registration{"OBJ_NAME_new_index", "functions of names of OpenSSL", no_way_back, seen::no},
    registration{"RAND_set_rand_method", "random numbers of OpenSSL", restore, seen::in_library},
    registration{"UI_set_default_method", "a method of OpenSSL", restore, seen::in_library},
    registration{"xmlSetStructuredErrorFunc", "the error function of libxml2", restore, seen::no},
    registration{"xmlMemSetup", "the allocator of libxml2", restore, seen::in_library},
    registration{"xmlGcMemSetup", "the allocator of libxml2", restore, seen::in_library},
    registration{"xmlSetExternalEntityLoader", "a loader of libxml2", restore, seen::in_library},
    registration{"xmlRegisterInputCallbacks", "functions in libxml2", "call xmlPopInputCallbacks()",
                 seen::in_library},
    registration{"xmlRegisterOutputCallbacks", "functions in libxml2", "call xmlPopOutputCallbacks()",
                 seen::in_library},
    registration{"xmlRegisterCharEncodingHandler", "an encoding of libxml2", no_way_back, seen::no},
    registration{"xsltSetGenericErrorFunc", "the error function of libxslt", restore, seen::in_library},
    registration{"sqlite3_config", "settings of SQLite", "put the old ones back", seen::in_library},
    registration{"sqlite3_vfs_register", "a file system of SQLite", "call sqlite3_vfs_unregister()",
                 seen::in_library},
    registration{"curl_global_init_mem", "the allocator of curl", no_way_back, seen::in_library},
    registration{"event_set_mem_functions", "the allocator of libevent", restore, seen::in_library},
    registration{"event_set_log_callback", "the log function of libevent", restore, seen::in_library},
    registration{"event_set_fatal_callback", "a function of libevent", restore, seen::in_library},
    registration{"uv_replace_allocator", "the allocator of libuv", no_way_back, seen::in_library},
    registration{"ev_set_allocator", "the allocator of libev", restore, seen::in_library},
    registration{"ev_set_syserr_cb", "a function of libev", restore, seen::in_library},
    registration{"__gmp_set_memory_functions", "the allocator of GMP", restore, seen::in_library},
    registration{"XSetErrorHandler", "an error function of Xlib", restore, seen::in_library},
    registration{"XSetIOErrorHandler", "an error function of Xlib", restore, seen::in_library},
    registration{"snd_lib_error_set_handler", "the error function of ALSA", restore, seen::in_library},
    registration{"gsl_set_error_handler", "the error function of GSL", restore, seen::in_library},
    registration{"Tcl_CreateExitHandler", "a function that Tcl calls at its end", "call Tcl_DeleteExitHandler()",
                 seen::no},
    registration{"libusb_hotplug_register_callback", "a callback of libusb",
                 "call libusb_hotplug_deregister_callback()", seen::no},
    registration{"libusb_set_log_cb", "the log function of libusb", restore, seen::no},
    registration{"SDL_SetEventFilter", "a function of SDL's events", restore, seen::in_library},
    registration{"SDL_AddEventWatch", "a function of SDL's events", "call SDL_DelEventWatch()", seen::no},
    registration{"SDL_AddHintCallback", "a function of SDL", "call SDL_DelHintCallback()", seen::no},
    registration{"SDL_LogSetOutputFunction", "the log function of SDL", restore, seen::in_library},
    registration{"SDL_SetAssertionHandler", "a function of SDL", restore, seen::in_library},
    registration{"SDL_SetMemoryFunctions", "the allocator of SDL", restore, seen::in_library},
    registration{"PyModule_AddFunctions", python, "remove them there", seen::no},
    registration{"PyModule_FromDefAndSpec2", python, "remove them there", seen::no},
    registration{"PyModuleDef_Init", python, "remove them there", seen::no},
    registration{"PyType_Ready", "a type of Python", no_way_back, seen::no},
    registration{"PyType_FromSpec", "a type of Python", "remove it there", seen::no},
    registration{"PyCapsule_New", "the destructor of a capsule of Python", "remove it there", seen::no},
    registration{"PyImport_ExtendInittab", "modules of Python", no_way_back, seen::no},
    registration{"Py_AddPendingCall", "a call of Python's that is pending", "wait for it", seen::no},
    registration{"PySys_AddAuditHook", "a hook of Python", no_way_back, seen::no},
    registration{"PyEval_SetTrace", "a trace function of Python", restore, seen::no},
    registration{"PyEval_SetProfile", "a trace function of Python", restore, seen::no},
    registration{"PyMem_SetAllocator", "the allocator of Python", restore, seen::in_library},
    registration{"PyOS_InputHook", "a hook of Python", restore, seen::in_library},
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
constexpr std::size_t marks_count = 2048;
constexpr std::size_t mark_of(std::string_view name) noexcept {
  return name.empty() ? 0
                      : (name.size() * 31 + static_cast<unsigned char>(name.front()) * 7 +
                         static_cast<unsigned char>(name.back())) %
                            marks_count;
}
constexpr auto registration_marks = [] {
  std::array<bool, marks_count> marks{};
  for (const registration& r : registrations) marks[mark_of(r.function)] = true;
  return marks;
}();

const registration* find(std::string_view function) noexcept {
  if (!registration_marks[mark_of(function)]) return nullptr;
  const auto found = std::ranges::find(registrations, function, &registration::function);
  return found != registrations.end() ? &*found : nullptr;
}

std::string_view text_of(seen where) noexcept {
  if (where == seen::no) return "can't see it";
  if (where == seen::in_library) return "looks into the static data of that library alone";
  return "looks, and keeps the module mapped";
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
  return r != nullptr && r->where != seen::always && r->where != seen::in_library &&
         std::ranges::find(harmless_in_libraries, function) == harmless_in_libraries.end();
}

bool leaves_in_c_library(std::string_view function) noexcept {
  const registration* const r = find(function);
  return r != nullptr && r->where == seen::in_c_library;
}

bool registers_conversions(std::string_view function) noexcept {
  const registration* const r = find(function);
  return r != nullptr && r->where == seen::in_printf;
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
                       std::string(r->what) + " behind, " +
                       (r->remedy == no_way_back ? "" : "before exit() returns ") + std::string(r->remedy) +
                       "; the unload " +
                       std::string(text_of(r->where)));
  }
  return warnings;
}

}  // namespace ufence::detail
