// A driver that leaves things of its own registered in the process (D-21), as its jobs ask for.
#include "ufence/issuer/testing/leaves.h"

#include <argp.h>
#include <dlfcn.h>
#include <error.h>
#include <printf.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <exception>
#include <iostream>
#include <cstring>
#include <locale>
#include <memory_resource>
#include <new>
#include <stdexcept>
#include <streambuf>

#include "ufence/module/testing/plain_driver.h"

namespace {

namespace leaves = ufence::leaves;

std::array<char, 32> variable = {"LEFT_BEHIND=1"};
std::array<char, 65536> stack, stream_buffer;

void on_signal(int) {}
void on_terminate() {}
void on_no_memory() {}
void on_error() {}
void on_thread_end(void*) {}

class own_buffer : public std::streambuf {
  int overflow(int c) override { return c; }
};
class own_wide_buffer : public std::wstreambuf {};
class own_facet : public std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
};
void on_stream(std::ios_base::event, std::ios_base&, int) {}
alignas(own_buffer) std::array<char, sizeof(own_buffer)> buffer_memory;

class own_resource : public std::pmr::memory_resource {
  void* do_allocate(std::size_t size, std::size_t) override { return ::operator new(size); }
  void do_deallocate(void* memory, std::size_t, std::size_t) override { ::operator delete(memory); }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};
std::array<char, 256> random_numbers;
std::array<char, 8> name = {"leaves"};
ssize_t write_nothing(void*, const char*, std::size_t size) { return static_cast<ssize_t>(size); }

int print_own(FILE*, const printf_info*, const void* const*) { return 0; }
int take_int(const printf_info*, std::size_t, int*, int*) { return 0; }

struct own_exception : std::runtime_error {
  using std::runtime_error::runtime_error;
};
[[noreturn]] void throw_own() { throw own_exception("of the driver's own"); }

// Streams that the test closes: it is told their place.
void* open_stream(std::uint32_t what) {
  if (what == leaves::stream_memory) return ::fmemopen(stream_buffer.data(), stream_buffer.size(), "w");
  if (what == leaves::stream_function) {
    return ::fopencookie(nullptr, "w", {.read = nullptr, .write = &write_nothing, .seek = nullptr, .close = nullptr});
  }
  FILE* const file = ::fopen("/dev/null", "w");
  if (file != nullptr) ::setvbuf(file, stream_buffer.data(), _IOFBF, stream_buffer.size());
  return file;
}

void on_process_exit(int, void*) { ::_exit(42); }

void* wait_for_ever(void*) {
  for (;;) ::pause();
}
void start_by_name() {
  const auto start = reinterpret_cast<int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)>(
      ::dlsym(RTLD_DEFAULT, "pthread_create"));
  pthread_t thread{};
  start(&thread, nullptr, &wait_for_ever, nullptr);
}

void leave(std::uint32_t what) {
  switch (what) {
    case leaves::signal_handler: ::signal(SIGUSR2, &on_signal); break;
    case leaves::signal_stack: {
      const stack_t wanted{.ss_sp = stack.data(), .ss_flags = 0, .ss_size = stack.size()};
      ::sigaltstack(&wanted, nullptr);
      break;
    }
    case leaves::environment: ::putenv(variable.data()); break;
    case leaves::terminate_handler: std::set_terminate(&on_terminate); break;
    case leaves::new_handler: std::set_new_handler(&on_no_memory); break;
    case leaves::cout_buffer: std::cout.rdbuf(new (buffer_memory.data()) own_buffer); break;
    case leaves::cout_class: std::cout.rdbuf(new own_buffer); break;
    case leaves::stdout_buffer:
      ::setvbuf(stdout, stream_buffer.data(), _IOFBF, stream_buffer.size());
      break;
    case leaves::thread_exit: ::pthread_exit(nullptr);
    case leaves::wcin_buffer: std::wcin.rdbuf(new own_wide_buffer); break;
    case leaves::tied_stream: std::clog.tie(new std::ostream(new (buffer_memory.data()) own_buffer)); break;
    case leaves::stream_callback: std::clog.register_callback(&on_stream, 0); break;
    case leaves::stream_locale: std::clog.imbue(std::locale(std::locale(), new own_facet)); break;
    case leaves::global_locale: std::locale::global(std::locale(std::locale(), new own_facet)); break;
    case leaves::error_function: ::error_print_progname = &on_error; break;
    case leaves::on_exit_function: ::on_exit(&on_process_exit, nullptr); break;
    case leaves::thread_by_name: start_by_name(); break;
    case leaves::memory_resource: std::pmr::set_default_resource(new own_resource); break;
    case leaves::argp_text: ::argp_program_version = name.data(); break;
    case leaves::log_name: ::openlog(name.data(), 0, LOG_USER); break;
    case leaves::random_state: ::initstate(1, random_numbers.data(), random_numbers.size()); break;
    case leaves::conversion: ::register_printf_specifier('Y', &print_own, &take_int); break;
    case leaves::exception: throw_own();
    default: break;
  }
}

int submit(void*, ufence_job* job) {
  leaves::place* place = nullptr;
  if (job->args_size == sizeof place) std::memcpy(&place, job->args, sizeof place);
  if (place != nullptr) {
    place->thrower = &throw_own;
    if (job->opcode == leaves::key) ::pthread_key_create(&place->key, &on_thread_end);
    if (job->opcode >= leaves::stream_buffer && job->opcode <= leaves::stream_memory) {
      place->stream = open_stream(job->opcode);
    }
  }
  leave(job->opcode);
  plain_driver::host->signal(job, 0);
  return 0;
}

#if defined(INIT_FAILS)
// D-4: it leaves a handler.
int fail(const ufence_host*, ufence_device*, void**) {
  leave(leaves::signal_handler);
  return -ENODEV;
}
#define INIT fail
#else
#define INIT plain_driver::init
#endif

}  // namespace

PLAIN_DRIVER_WITH("leaves", INIT, submit, plain_driver::quiet, plain_driver::quiet);
