// Fences with a story that record_test.py knows: `story_program [exit|kill|loop]`.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "ufence/container/array.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/timeline.h"

using namespace ufence;

namespace {

// Three fences of a timeline, the last of which fails, and an array of them, for which a thread
// waits in vain before.
void tell_queue() {
  timeline_issuer queue =
      timeline_issuer::create({.driver_name = "story", .timeline_name = "queue"}).value();
  std::array<new_fence, 3> made{queue.create_in_order().value(), queue.create_in_order().value(),
                                queue.create_in_order().value()};
  const std::array<fence_ref, 3> fences{made[0].fence, made[1].fence, made[2].fence};
  const fence_ref all = fence_array::create(fences).value();
  std::thread waiter([&] {
    ::pthread_setname_np(::pthread_self(), "waits");
    static_cast<void>(all->wait(no_wait));
  });
  waiter.join();
  for (std::size_t i = 0; i < made.size(); ++i) made[i].signal.signal(i == 2 ? -EIO : 0);
}

// Four that are signaled by one value.
void tell_ordered() {
  timeline_issuer ordered =
      timeline_issuer::create({.driver_name = "story", .timeline_name = "ordered"}).value();
  std::array<fence_ref, 4> fences;
  for (fence_ref& f : fences) f = ordered.emit().value();
  ordered.signal_up_to(4);
}

// Until the file of the recording has not grown for a while.
void wait_until_written() {
  const std::string path =
      std::string(std::getenv("UFENCE_RECORD")) + "." + std::to_string(::getpid());
  off_t size = 0;
  for (int same = 0; same < 5; ++same) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    struct stat now {};
    if (::stat(path.c_str(), &now) == 0 && now.st_size != size) {
      size = now.st_size;
      same = 0;
    }
    if (size < 1000) same = 0;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const char* const how = argc > 1 ? argv[1] : "";
  if (std::strcmp(how, "loop") == 0) {
    std::puts("ready");
    std::fflush(stdout);
    while (std::getchar() != EOF) {
      new_fence one = fence::create(fence::allocate_contexts(1), 1).value();
      one.signal.signal();
      std::puts("done");
      std::fflush(stdout);
    }
    return 0;
  }
  tell_queue();
  tell_ordered();
  // One that nobody signals while the program runs.
  [[maybe_unused]] static new_fence* volatile pending;  // it has to be seen as reachable
  pending = new new_fence(fence::create(fence::allocate_contexts(1), 77).value());
  if (std::strcmp(how, "kill") == 0) {
    wait_until_written();
    ::raise(SIGKILL);
  }
  return std::strcmp(how, "exit") == 0 ? 3 : 0;
}
