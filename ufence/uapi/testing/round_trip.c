// What a call of `ufence uapi` takes: sw_sync's INC, in turns with a bare round trip of a byte over
// a socket pair to a process that does nothing but answer. Prints medians of both, and of their
// ratios.
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ufence/uapi/testing/sync.h"

#define TURNS 51
#define CALLS 400

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int is_less(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}
static double median(double* of) {
  qsort(of, TURNS, sizeof(double), is_less);
  return of[TURNS / 2];
}

static void answer(int end) {
  char byte;
  while (recv(end, &byte, 1, 0) == 1 && send(end, &byte, 1, MSG_NOSIGNAL) == 1) {
  }
  _exit(0);
}

int main(void) {
  double bare[TURNS], call[TURNS], ratio[TURNS];
  int ends[2], turn, i, timeline = open_timeline();
  pid_t child;
  char byte = 0;

  EXPECT(timeline >= 0);
  EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
  child = fork();
  EXPECT(child >= 0);
  if (child == 0) {
    close(ends[0]);
    answer(ends[1]);
  }
  close(ends[1]);
  for (turn = 0; turn < TURNS; turn++) {
    const double begin = now_us();
    double middle;
    for (i = 0; i < CALLS; i++)
      EXPECT(send(ends[0], &byte, 1, 0) == 1 && recv(ends[0], &byte, 1, 0) == 1);
    middle = now_us();
    for (i = 0; i < CALLS; i++) EXPECT(increase(timeline, 1) == 0);
    bare[turn] = (middle - begin) / CALLS;
    call[turn] = (now_us() - middle) / CALLS;
    ratio[turn] = call[turn] / bare[turn];
  }
  close(ends[0]);
  waitpid(child, NULL, 0);
  close(timeline);
  printf("bare round trip %.1f us, INC %.1f us, ratio %.2f\n", median(bare), median(call),
         median(ratio));
  return 0;
}
