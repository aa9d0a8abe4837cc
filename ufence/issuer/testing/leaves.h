// What the driver `leaves` leaves behind in the process: the opcode of a job.
#pragma once

#include <pthread.h>

#include <cstdint>

namespace ufence::leaves {

enum opcode : std::uint32_t {
  nothing,
  signal_handler,
  signal_stack,
  environment,
  terminate_handler,
  new_handler,
  key,
  cout_buffer,
  cout_class,
  stdout_buffer,
  thread_exit,  // leaves nothing: calls pthread_exit()
  wcin_buffer,
  tied_stream,
  stream_callback,
  stream_locale,
  global_locale,
  error_function,
  on_exit_function,
  thread_by_name,  // found by dlsym(), and it never ends
  memory_resource,
  argp_text,
  stream_buffer,    // of a stream that it opens: `place::stream`
  stream_function,  // of a stream that it makes
  stream_memory,
  log_name,
  random_state,
  conversion,       // of printf()
  exception,        // leaves nothing: throws one of its own
  thrower,          // leaves nothing: `place::thrower`
};

// The results of a job, if its arguments point to one.
struct place {
  void* stream = nullptr;
  pthread_key_t key{};
  void (*thrower)() = nullptr;  // throws an exception of a class of its own
};

}  // namespace ufence::leaves
