// What the driver `leaves` leaves behind in the process: the opcode of a job.
#pragma once

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
};

}  // namespace ufence::leaves
