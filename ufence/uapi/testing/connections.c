/* What a program may do to the connections that the preloaded library keeps for its calls, of which
 * it knows nothing: the calls go on, and its own descriptors stay what they are. */
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "ufence/uapi/testing/sync.h"

enum { NUMBERS = 4096 };

/* Those that no folder lists: the library's. The highest one, or -1. */
static int hidden(int* count) {
  char listed[NUMBERS] = "";
  DIR* folder = opendir("/proc/self/fd");
  struct dirent* entry;
  int fd, highest = -1;

  EXPECT(folder);
  while ((entry = readdir(folder))) {
    fd = atoi(entry->d_name);
    if (entry->d_name[0] != '.' && fd < NUMBERS) listed[fd] = 1;
  }
  closedir(folder);
  *count = 0;
  for (fd = 0; fd < NUMBERS; fd++) {
    if (fcntl(fd, F_GETFD) < 0 || listed[fd]) continue;
    highest = fd;
    ++*count;
  }
  return highest;
}
static int hidden_count(void) {
  int count;

  hidden(&count);
  return count;
}

static void is_at(int timeline, uint32_t value) {
  int before = make_fence(timeline, value), after = make_fence(timeline, value + 1);

  EXPECT(before >= 0 && after >= 0);
  EXPECT(status_of(before) == 1 && status_of(after) == ACTIVE);
  close(before), close(after);
}

static void calls_use_one_again_and_again(void) {
  int timeline, i, fd, count, other;

  EXPECT(hidden_count() == 0);
  timeline = open_timeline();
  for (i = 0; i < 100; i++) EXPECT(increase(timeline, 1) == 0);
  is_at(timeline, 100);
  fd = hidden(&count);
  EXPECT(count == 1 && fd > timeline + 1 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
  other = open_timeline();
  EXPECT(other == timeline + 1 && close(other) == 0 && hidden_count() == 1);
}

static void* call_once(void* timeline) {
  EXPECT(increase(*(int*)timeline, 1) == 0);
  return NULL;
}

static void threads_close_theirs(void) {
  int timeline = open_timeline(), i;
  pthread_t thread;

  for (i = 0; i < 50; i++) {
    EXPECT(pthread_create(&thread, NULL, call_once, &timeline) == 0);
    EXPECT(pthread_join(thread, NULL) == 0);
  }
  is_at(timeline, 50);
  EXPECT(hidden_count() == 1);
}

enum { THREADS = 700 };
static pthread_barrier_t all_have_called;

static void* call_and_stay(void* timeline) {
  EXPECT(increase(*(int*)timeline, 1) == 0);
  pthread_barrier_wait(&all_have_called);
  EXPECT(increase(*(int*)timeline, 1) == 0);
  return NULL;
}

/* More of them than the broker keeps connections for. */
static void many_threads_call(void) {
  int timeline = open_timeline(), i;
  pthread_t threads[THREADS];
  pthread_attr_t small;

  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 64 * 1024);
  pthread_barrier_init(&all_have_called, NULL, THREADS);
  for (i = 0; i < THREADS; i++)
    EXPECT(pthread_create(&threads[i], &small, call_and_stay, &timeline) == 0);
  for (i = 0; i < THREADS; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
  is_at(timeline, 2 * THREADS);
  EXPECT(hidden_count() <= 1);
}

static void wait_for_child(pid_t child) {
  int status;

  EXPECT(child > 0 && waitpid(child, &status, __WALL) == child && status == 0);
}

static void children_have_their_own(void) {
  enum { CALLS = 300 };
  int timeline = open_timeline(), i, count;
  pid_t child = fork();

  for (i = 0; i < CALLS; i++) EXPECT(increase(timeline, 1) == 0);
  if (child == 0) {
    hidden(&count);
    _exit(count == 1 ? 0 : 1);
  }
  wait_for_child(child);
  is_at(timeline, 2 * CALLS);
  /* Without fork handlers, and with this process's memory. */
  child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
  if (child == 0) _exit(increase(timeline, 1) == 0 && increase(timeline, 1) == 0 ? 0 : 1);
  wait_for_child(child);
  child = vfork();
  if (child == 0) _exit(increase(timeline, 1) == 0 && increase(timeline, 1) == 0 ? 0 : 1);
  wait_for_child(child);
  EXPECT(increase(timeline, 1) == 0 && hidden_count() == 1);
  is_at(timeline, 2 * CALLS + 5);
}

/* Everything is closed behind the library's back, and the numbers are used anew. */
static void a_number_that_is_the_programs_now_stays_it(void) {
  enum { MINE = 1200 };
  struct rlimit limit = {.rlim_cur = NUMBERS, .rlim_max = NUMBERS};
  int timeline = open_timeline(), i;
  uint64_t value;
  pid_t child;

  EXPECT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  EXPECT(increase(timeline, 1) == 0 && dup2(timeline, 0) == 0 && hidden_count() == 1);
  EXPECT(syscall(SYS_close_range, 3, ~0U, 0) == 0);
  for (i = 3; i < MINE; i++) EXPECT(eventfd((unsigned)i, EFD_NONBLOCK) == i);
  for (i = 0; i < 10; i++) EXPECT(increase(0, 1) == 0);
  EXPECT(hidden_count() == 1);
  child = fork();
  if (child == 0) {
    for (i = 3; i < MINE && fcntl(i, F_GETFD) == 0; i++)
      ;
    _exit(i == MINE ? 0 : 1);
  }
  wait_for_child(child);
  for (i = 3; i < MINE; i++)
    EXPECT(read(i, &value, sizeof(value)) == sizeof(value) && value == (uint64_t)i);
}

static void dup2_and_closefrom_take_it(void) {
  int timeline = open_timeline(), event = eventfd(7, EFD_NONBLOCK), fd, count, i;
  uint64_t value = 0;

  for (i = 0; i < 3; i++) {
    EXPECT(increase(timeline, 1) == 0);
    fd = hidden(&count);
    EXPECT(count == 1 && dup2(event, fd) == fd);
    EXPECT(increase(timeline, 1) == 0 && fcntl(fd, F_GETFD) == 0);
  }
  EXPECT(read(fd, &value, sizeof(value)) == sizeof(value) && value == 7);
  EXPECT(dup2(timeline, 0) == 0);
  closefrom(3);
  EXPECT(hidden_count() <= 1 && increase(0, 1) == 0);
  is_at(0, 7);
  EXPECT(close_range(1, ~0U, 0) == 0 && increase(0, 1) == 0 && close(0) == 0);
}

static volatile sig_atomic_t handled;
static int line_of_handler;

static void call_in_handler(int number) {
  const int before = errno;

  (void)number;
  if (increase(line_of_handler, 1) == 0) handled = handled + 1;
  errno = before;
}

/* A handler may come in the middle of a call. */
static void handlers_call_as_well(void) {
  struct sigaction action = {.sa_handler = call_in_handler, .sa_flags = SA_RESTART};
  struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
  uint32_t calls = 0;

  line_of_handler = open_timeline();
  EXPECT(sigaction(SIGALRM, &action, NULL) == 0);
  EXPECT(setitimer(ITIMER_REAL, &often, NULL) == 0);
  while (handled < 300) {
    EXPECT(increase(line_of_handler, 1) == 0);
    calls++;
  }
  EXPECT(setitimer(ITIMER_REAL, &never, NULL) == 0);
  is_at(line_of_handler, calls + (uint32_t)handled);
}

/* Who opens a device is the user that the thread is now. */
static void of_the_user_of_now(void) {
  int timeline = open_timeline(), another;

  EXPECT(increase(timeline, 1) == 0);
  if (geteuid() != 0) return;
  EXPECT(seteuid(12345) == 0);
  EXPECT_ERRNO(open("/dev/sw_sync", O_RDWR), EACCES);
  EXPECT(increase(timeline, 1) == 0);
  EXPECT(seteuid(0) == 0);
  another = open("/dev/sw_sync", O_RDWR);
  EXPECT(another >= 0 && increase(another, 1) == 0);
  is_at(timeline, 2);
}

/* What is made and closed faster than the broker hears of it costs no share. */
static void files_that_were_closed_take_no_share(void) {
  int timeline = open_timeline(), fence = make_fence(timeline, 1), i, merged;

  for (i = 0; i < STRESS_ROUNDS; i++) {
    merged = merge(fence, fence);
    EXPECT(merged >= 0 && close(merged) == 0);
  }
}

static const struct test_case cases[] = {
    {"CONNECTION_calls_use_one_again_and_again", calls_use_one_again_and_again},
    {"CONNECTION_threads_close_theirs", threads_close_theirs},
    {"CONNECTION_many_threads_call", many_threads_call},
    {"CONNECTION_children_have_their_own", children_have_their_own},
    {"CONNECTION_a_number_that_is_the_programs_now_stays_it",
     a_number_that_is_the_programs_now_stays_it},
    {"CONNECTION_dup2_and_closefrom_take_it", dup2_and_closefrom_take_it},
    {"CONNECTION_handlers_call_as_well", handlers_call_as_well},
    {"CONNECTION_of_the_user_of_now", of_the_user_of_now},
    {"CONNECTION_files_that_were_closed_take_no_share", files_that_were_closed_take_no_share},
};

int main(int argc, char** argv) {
  return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
