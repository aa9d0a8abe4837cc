// Starts the consumer with a sync file as its stdin, and signals its fence.
//     producer CONSUMER
#include <spawn.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdio>

#include "ufence/sync/sync_file.h"

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: producer CONSUMER\n"), 2;
  auto frame = ufence::fence::create(ufence::fence::allocate_contexts(1), 1);
  if (!frame) return 1;
  const auto file = ufence::sync_file_create(frame->fence, "frame");
  if (!file) return 1;

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, file->get(), 0);
  char* const arguments[] = {argv[1], nullptr};
  pid_t consumer = 0;
  const int failed = ::posix_spawn(&consumer, argv[1], &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return 1;

  frame->signal.signal(-EIO);  // the frame could not be drawn: the consumer is told
  int status = 0;
  return ::waitpid(consumer, &status, 0) == consumer && status == 0 ? 0 : 1;
}
