// A program that hangs in a known way, for the tests of `ufence why`. Prints "ready" once it hangs, and
// stays until its standard input is closed.
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tools/ufence/testing/hang_kernel_fence.h"
#include "ufence/base/clock.h"
#include "ufence/container/array.h"
#include "ufence/container/resv.h"
#include "ufence/container/resv_locks.h"
#include "ufence/container/ww_mutex.h"
#include "ufence/debug/debug.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/timeline.h"
#include "ufence/sched/entity.h"
#include "ufence/sched/job.h"
#include "ufence/sched/scheduler.h"
#include "ufence/sync/shared_timeline.h"
#include "ufence/sync/sync_file.h"
#include "ufence/syncobj/syncobj.h"

namespace {

using namespace ufence;

// Signals another fence when the one that it is queued on is signaled.
struct relay : callback {
  relay() noexcept : callback(&relay::run) {}
  static void run(callback& node, fence&) noexcept { static_cast<relay&>(node).right.signal(); }
  signaler right;
};

new_fence make() { return *fence::create(fence::allocate_contexts(1), 1); }

void until_a_thread_sleeps() {
  const auto is_thread = [](const debug::node& n) { return n.kind == debug::node_kind::thread; };
  while (std::ranges::none_of(debug_snapshot().nodes, is_thread)) std::this_thread::yield();
}

int ready() {
  until_a_thread_sleeps();
  static_cast<void>(std::puts("ready"));
  static_cast<void>(std::fflush(stdout));
  char end = 0;
  static_cast<void>(::read(STDIN_FILENO, &end, 1));
  // Threads wait for ever: nothing of the program ends in order.
  ::_exit(0);
}

// Not in the place of its caller: its frame is looked for.
[[gnu::noinline]] void wait_for_the_device(const fence_ref& f) {
  if (f->wait()) std::abort();
}

void wait_for_what_is_never_signaled() {
  static timeline_issuer device =
      *timeline_issuer::create({.driver_name = "test device", .timeline_name = "queue"});
  static const fence_ref first = *device.emit();
  std::thread([] { wait_for_the_device(first); }).detach();
}

int never_signaled() {
  wait_for_what_is_never_signaled();
  return ready();
}

int kernel_fence() {
  std::thread([] { wait_for_a_kernel_fence(); }).detach();
  return ready();
}

int lost_notification() {
  static atomic<std::uint32_t> word{0};
  static timeline_issuer device = *timeline_issuer::create(
      {.driver_name = "test device", .timeline_name = "queue", .device_word = &word});
  static const fence_ref first = *device.emit();
  std::thread([] { wait_for_the_device(first); }).detach();
  // A wait that begins would look at the word once more.
  until_a_thread_sleeps();
  word.store(1, mo::relaxed);  // relaxed: nothing is handed over
  return ready();
}

// A point that nobody submits, waited for alone and among several.
int not_submitted() {
  static const syncobj_ref object = *syncobj::create();
  std::thread([] { static_cast<void>(object->find_fence_by(4, no_deadline)); }).detach();
  return ready();
}

int not_submitted_of_several() {
  static const syncobj_ref object = *syncobj::create();
  std::thread([] {
    const syncobj_point points[] = {{.object = object, .point = 4}};
    static_cast<void>(wait(points, no_deadline, {.for_submit = true}));
  }).detach();
  return ready();
}

// Two arrays, each signaled after a fence that a callback on the other one signals.
int circle() {
  static new_fence a = make(), b = make(), free_one = make();
  static const fence_ref in_a[] = {a.fence, free_one.fence};
  static const fence_ref in_b[] = {b.fence, free_one.fence};
  static const fence_ref all_a = *fence_array::create(in_a);
  static const fence_ref all_b = *fence_array::create(in_b);
  static relay on_a, on_b;
  on_a.right = std::move(b.signal);
  on_b.right = std::move(a.signal);
  if (all_a->add_callback(on_a) || all_b->add_callback(on_b)) return 1;
  free_one.signal.signal();
  std::thread([] { wait_for_the_device(all_a); }).detach();
  return ready();
}

// The child of exporter_stopped(): says on a pipe which descriptor the sync file of its fence is.
int exports(const char* pipe) {
  const new_fence f = make();
  const result<unique_fd> file = sync_file_create(f.fence, "of the child");
  const int number = file ? file->get() : -1;
  if (::write(std::atoi(pipe), &number, sizeof number) != sizeof number) return 1;
  for (;;) ::pause();
}

// Takes a descriptor of another process, whose number it writes to a pipe.
unique_fd from_child(pid_t child, int pipe) {
  int number = -1;
  if (::read(pipe, &number, sizeof number) != sizeof number) return {};
  const unique_fd process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  return unique_fd(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), number, 0)));
}

struct child_process {
  pid_t id;
  unique_fd file;  // what it has made for this one
};

// A program of its own, without a debug socket: with one this process has a thread already, and ThreadSanitizer
// ends a child of fork() that then starts another.
child_process start_child(const char* how, const std::string& more = {}) {
  int ends[2];
  if (::pipe(ends) != 0 || ::unsetenv("UFENCE_DEBUG") != 0 || ::unsetenv("UFENCE_WATCHDOG") != 0) ::_exit(1);
  const std::string pipe = std::to_string(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::execl("/proc/self/exe", "tool_hang_program", how, pipe.c_str(), more.c_str(), nullptr);
    ::_exit(1);
  }
  ::close(ends[1]);
  return {child, from_child(child, ends[0])};
}

// A child of this process exports a fence, and is stopped.
int exporter_stopped() {
  const child_process child = start_child("exports");
  static const fence_ref imported = *sync_file_get_fence(child.file.get());
  std::thread([] { wait_for_the_device(imported); }).detach();
  if (::kill(child.id, SIGSTOP) != 0 || ::waitpid(child.id, nullptr, WUNTRACED) != child.id) return 1;
  return ready();
}

// The child of owner_stopped(), which owns a timeline.
int owns(const char* pipe) {
  const auto line = shared_timeline::create({.name = "of the child"});
  const auto file = line ? (*line)->export_fd(shared_access::wait) : result<unique_fd>();
  const int number = file ? file->get() : -1;
  if (::write(std::atoi(pipe), &number, sizeof number) != sizeof number) return 1;
  for (;;) ::pause();
}

// A child of this process owns a shared timeline, and is stopped.
int owner_stopped() {
  const child_process child = start_child("owns");
  static const shared_timeline_ref line = *shared_timeline::import(child.file.get());
  static const fence_ref point = *line->fence_at(7);
  std::thread([] { wait_for_the_device(point); }).detach();
  if (::kill(child.id, SIGSTOP) != 0 || ::waitpid(child.id, nullptr, WUNTRACED) != child.id) return 1;
  return ready();
}

// Signals a fence once another process has signaled one.
[[gnu::noinline]] void signal_after(const fence_ref& imported, signaler right) {
  wait_for_the_device(imported);
  right.signal();
}

// The child of circle_across(): signals what it exports after what it imports.
int crosses(const char* pipe, const char* imported_file) {
  static const fence_ref imported = *sync_file_get_fence(std::atoi(imported_file));
  static new_fence own = make();
  const result<unique_fd> file = sync_file_create(own.fence, "of the child");
  std::thread([] { signal_after(imported, std::move(own.signal)); }).detach();
  until_a_thread_sleeps();
  const int number = file ? file->get() : -1;
  if (::write(std::atoi(pipe), &number, sizeof number) != sizeof number) return 1;
  for (;;) ::pause();
}

// Two processes, each of which signals its fence after the other's.
int circle_across() {
  static new_fence own = make();
  const result<unique_fd> file = sync_file_create(own.fence, "of the parent");
  const int inherited = file ? ::dup(file->get()) : -1;
  const child_process child = start_child("crosses", std::to_string(inherited));
  static const fence_ref imported = *sync_file_get_fence(child.file.get());
  std::thread([] { signal_after(imported, std::move(own.signal)); }).detach();
  return ready();
}

// A callback of one fence waits for another one, which its thread would signal next.
int own_callback() {
  static new_fence first = make(), second = make();
  struct waiting : callback {
    waiting() noexcept
        : callback([](callback&, fence&) noexcept { wait_for_the_device(second.fence); }) {}
  };
  static waiting in_callback;
  if (first.fence->add_callback(in_callback)) return 1;
  std::thread([] {
    first.signal.signal();
    second.signal.signal();
  }).detach();
  return ready();
}

// Threads that make, signal and drop timelines, fences, arrays and callbacks, and sleep in between, beside one
// that waits for ever.
void be_busy() {
  for (;;) {
    auto device = timeline_issuer::create({.driver_name = "busy", .timeline_name = "short"});
    if (!device) continue;
    std::array<fence_ref, 8> some;
    for (fence_ref& f : some) f = *device->emit();
    std::array<callback, 8> heard;
    for (std::size_t i = 0; i < heard.size(); ++i) {
      heard[i].set_function([](callback&, fence&) noexcept {});
      static_cast<void>(some[i]->add_callback(heard[i]));
    }
    const result<fence_ref> all = fence_array::create(some);
    constexpr std::int64_t soon_ns = 50'000;
    if (all) static_cast<void>((*all)->wait(now_ns() + soon_ns));
    device->signal_up_to(some.size());
  }
}

int busy() {
  wait_for_what_is_never_signaled();
  until_a_thread_sleeps();  // that one, not one of these
  for (int i = 0; i < 3; ++i) std::thread(be_busy).detach();
  return ready();
}

// So many pending fences on so many timelines, and a thread that waits; and one that makes timelines, fences and
// waits, and tells on standard output the longest time that it took for one round, in ns, since it last told:
// once for each byte that it reads.
int many(std::size_t fences, std::size_t timelines) {
  static std::vector<timeline_issuer> issuers;
  static std::vector<fence_ref> pending;
  for (std::size_t i = 0; i < timelines; ++i) {
    issuers.push_back(*timeline_issuer::create({.driver_name = "many", .timeline_name = "one of many"}));
  }
  for (std::size_t i = 0; i < fences; ++i) pending.push_back(*issuers[i % timelines].emit());
  static atomic<std::int64_t> longest_ns{0};
  std::thread([] {
    for (;;) {
      const std::int64_t begin_ns = now_ns();
      auto device = timeline_issuer::create({.driver_name = "many", .timeline_name = "short"});
      if (device && (*device->emit())->wait(begin_ns + 1)) device->signal_up_to(1);
      const std::int64_t took_ns = now_ns() - begin_ns;
      // relaxed: a figure
      if (took_ns > longest_ns.load(mo::relaxed)) longest_ns.store(took_ns, mo::relaxed);
    }
  }).detach();
  std::thread([] { wait_for_the_device(pending.front()); }).detach();
  std::puts("ready");
  std::fflush(stdout);
  for (char asked = 0; ::read(STDIN_FILENO, &asked, 1) == 1;) {
    std::printf("%lld\n", static_cast<long long>(longest_ns.exchange(0, mo::relaxed)));  // relaxed: a figure
    std::fflush(stdout);
  }
  ::_exit(0);
}

// --- Locks of reservation objects ---

void until_threads_sleep(std::ptrdiff_t count) {
  while (std::ranges::count_if(debug_snapshot().nodes, debug::sleeps) != count) std::this_thread::yield();
}

// A thread has the lock, and sleeps for something else than fences; or has ended.
int lock_is_held(bool by_one_that_ends) {
  static resv object;
  static atomic<bool> has_it{false};
  // It is there before: a new thread would get the stack of one that has ended.
  std::thread([] {
    while (!has_it.load(mo::relaxed)) std::this_thread::yield();  // relaxed: nothing is handed over
    resv_locks locks;
    resv* const all[] = {&object};
    if (locks.lock_all(all)) std::abort();
  }).detach();
  std::thread([by_one_that_ends] {
    ::prctl(PR_SET_NAME, "holder");
    ww_context context;
    if (object.lock(by_one_that_ends ? nullptr : &context)) std::abort();
    has_it.store(true, mo::relaxed);  // relaxed: as above
    while (!by_one_that_ends) ::pause();
  }).detach();
  return ready();
}

int lock_taken_twice() {
  std::thread([] {
    static ww_mutex lock;
    for (int i = 0; i < 2; ++i) {
      if (lock.lock()) std::abort();
    }
  }).detach();
  return ready();
}

// Each of two threads has one lock, without a context, and wants the other one.
int circle_of_locks() {
  static ww_mutex locks[2];
  static atomic<int> have{0};
  for (const int first : {0, 1}) {
    std::thread([first] {
      if (locks[first].lock()) std::abort();
      have.fetch_add(1, mo::relaxed);  // relaxed: nothing is handed over
      while (have.load(mo::relaxed) != 2) std::this_thread::yield();
      if (locks[1 - first].lock()) std::abort();
    }).detach();
  }
  until_threads_sleep(2);
  return ready();
}

[[gnu::noinline]] void signal_under(resv& object, signaler right) {
  resv_locks locks;
  resv* const all[] = {&object};
  if (locks.lock_all(all)) std::abort();
  right.signal();
}

// The one who has the lock waits for a fence that another thread would signal once it has the lock.
int circle_of_lock_and_fence() {
  static new_fence f = make();
  static resv object;
  std::thread([] {
    resv_locks locks;
    resv* const all[] = {&object};
    if (locks.lock_all(all)) std::abort();
    wait_for_the_device(f.fence);
  }).detach();
  until_a_thread_sleeps();
  std::thread([] { signal_under(object, std::move(f.signal)); }).detach();
  until_threads_sleep(2);
  return ready();
}

// --- Jobs of a scheduler ---

struct test_job : sched::job {
  using sched::job::job;
  fence_ref device;
  signaler right;
};

result<fence_ref> run(sched::job& j) noexcept {
  auto& job = static_cast<test_job&>(j);
  result<new_fence> made = fence::create(fence::allocate_contexts(1), 1);
  if (!made) return std::unexpected(made.error());
  job.right = std::move(made->signal);
  return made->fence;
}
constexpr sched::scheduler_ops ops{.run = &run, .free = [](sched::job&) noexcept {}};

sched::scheduler& the_scheduler() {
  static sched::scheduler s = *sched::scheduler::create(
      {.ops = &ops, .name = "ring", .device_name = "test device", .credit_limit = 2});
  return s;
}
sched::entity new_entity() {
  const sched::scheduler* const all[] = {&the_scheduler()};
  return *sched::entity::create({.schedulers = all, .name = "user"});
}

int not_pushed() {
  static sched::entity user = new_entity();
  static test_job armed, behind;
  static sched::armed_job right = *user.arm(armed);
  if (user.push(behind)) return 1;
  static const fence_ref finished = behind.finished();
  std::thread([] { wait_for_the_device(finished); }).detach();
  return ready();
}

int no_credits() {
  static sched::entity one = new_entity(), other = new_entity();
  static test_job large(2), waits(1);
  if (one.push(large)) return 1;
  // The device has it once *scheduled* is signaled; the ring is full then.
  if (large.scheduled()->wait() || other.push(waits)) return 1;
  static const fence_ref finished = waits.finished();
  std::thread([] { wait_for_the_device(finished); }).detach();
  return ready();
}

int scheduler_stopped() {
  static sched::entity user = new_entity();
  static test_job job;
  if (the_scheduler().stop() || user.push(job)) return 1;
  static const fence_ref finished = job.finished();
  std::thread([] { wait_for_the_device(finished); }).detach();
  return ready();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view how = argc > 1 ? argv[1] : "";
  if (how == "never_signaled") return never_signaled();
  if (how == "busy") return busy();
  if (how == "many" && argc > 3) return many(std::strtoul(argv[2], nullptr, 10), std::strtoul(argv[3], nullptr, 10));
  if (how == "kernel_fence") return kernel_fence();
  if (how == "lost_notification") return lost_notification();
  if (how == "circle") return circle();
  if (how == "not_submitted") return not_submitted();
  if (how == "not_submitted_of_several") return not_submitted_of_several();
  if (how == "exports" && argc > 2) return exports(argv[2]);
  if (how == "owns" && argc > 2) return owns(argv[2]);
  if (how == "owner_stopped") return owner_stopped();
  if (how == "crosses" && argc > 3) return crosses(argv[2], argv[3]);
  if (how == "circle_across") return circle_across();
  if (how == "exporter_stopped") return exporter_stopped();
  if (how == "own_callback") return own_callback();
  if (how == "lock_is_held") return lock_is_held(false);
  if (how == "lock_was_left") return lock_is_held(true);
  if (how == "lock_taken_twice") return lock_taken_twice();
  if (how == "circle_of_locks") return circle_of_locks();
  if (how == "circle_of_lock_and_fence") return circle_of_lock_and_fence();
  if (how == "not_pushed") return not_pushed();
  if (how == "no_credits") return no_credits();
  if (how == "scheduler_stopped") return scheduler_stopped();
  return 2;
}
