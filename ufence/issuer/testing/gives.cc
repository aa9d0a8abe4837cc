// A driver that gives a library a function of its own (by its first job), has another library do so, or opens
// and closes a library with a thread: chosen by a macro.
#include <dlfcn.h>
#include <unistd.h>

#include "ufence/issuer/testing/keeps.h"
#include "ufence/module/testing/plain_driver.h"

namespace {

#if defined(GIVES_ITSELF)

int answer() { return 1; }
void use() { keeps_set(&answer); }
void close() {}

#elif defined(GIVES_AT_EXIT)

void end() { ::_exit(42); }
void use() { keeps_at_exit(&end); }
void close() {}

#elif defined(GIVES_ANOTHER)

void use() { goes_register(); }
void close() {}

#else

void* opened = nullptr;
void use() {
  if (opened == nullptr) opened = ::dlopen(OPENS, RTLD_NOW | RTLD_LOCAL);
  auto* const start = opened != nullptr ? ::dlsym(opened, "keeps_start") : nullptr;
  if (start != nullptr) reinterpret_cast<void (*)()>(start)();
}
void close() {
  if (opened != nullptr) ::dlclose(opened);
  opened = nullptr;
}

#endif

int submit(void*, ufence_job* job) {
  use();
  plain_driver::host->signal(job, 0);
  return 0;
}
void exit_device(void*) { close(); }

}  // namespace

PLAIN_DRIVER("gives", submit, plain_driver::quiet, exit_device);
