// A driver with static objects: one that is made when it is loaded, one that is made by the first submit().
// Its stop(), exit() and thread look whether they are still there.
#include "ufence/issuer/testing/ends.h"

#include <sched.h>
#include <stdlib.h>

#include "ufence/module/testing/plain_driver.h"

namespace {

namespace ends = ufence::ends;

ends::page none;
std::atomic<ends::page*> told{&none};
std::atomic<bool> stopping{false}, thread_exits{false};

struct object {
  object() = default;
  ~object() {
    is_gone = true;
    ++told.load()->statics_gone;
  }
  object(const object&) = delete;
  object& operator=(const object&) = delete;
  std::atomic<bool> is_gone{false};
};
object early;
object& late() {
  static object made;
  return made;
}

bool is_anything_gone() { return early.is_gone || late().is_gone; }

void run(void*) {
  told.load()->thread_runs = 1;
  while (!stopping) {
    if (is_anything_gone()) ++told.load()->ran_too_late;
    if (thread_exits) ::exit(0);
    sched_yield();
  }
  if (is_anything_gone()) ++told.load()->ran_too_late;
}

int submit(void*, ufence_job* job) {
  static_cast<void>(late());
  if (job->opcode == ends::attach) {
    told = *static_cast<ends::page**>(job->args);
    plain_driver::host->signal(job, 0);
    return plain_driver::host->thread_start(plain_driver::device, "runner", run, nullptr) == 0 ? 0 : -1;
  }
  if (job->opcode == ends::exit_here) ::exit(0);
  thread_exits = true;
  return 0;
}

void stop(void*) {
  if (is_anything_gone()) ++told.load()->stopped_too_late;
  ++told.load()->stops;
  stopping = true;
}
void exit_device(void*) {
  if (is_anything_gone()) ++told.load()->stopped_too_late;
  ++told.load()->exits;
}

}  // namespace

PLAIN_DRIVER("ends", submit, stop, exit_device);
