/* What the kernel's own tests of sync files hold. */
#include <pthread.h>

#include "ufence/uapi/testing/sync.h"

static void alloc_timeline(void) {
  int timeline = open_timeline();

  EXPECT(timeline >= 0);
  EXPECT(fcntl(timeline, F_GETFD, 0) >= 0);
  EXPECT(close(timeline) == 0);
}

static void alloc_fence(void) {
  int timeline = open_timeline();
  int fence = make_fence(timeline, 1);

  EXPECT(fence >= 0);
  EXPECT(fcntl(fence, F_GETFD, 0) == FD_CLOEXEC);
  EXPECT(status_of(fence) == ACTIVE);
  close(fence);
  close(timeline);
}

static void alloc_fence_negative(void) { EXPECT_ERRNO(make_fence(-1, 1), EBADF); }

static void fence_one_timeline_wait(void) {
  int timeline = open_timeline();
  int fence = make_fence(timeline, 5);

  EXPECT(wait_for(fence, 0) == 0);
  EXPECT(increase(timeline, 1) == 0);
  EXPECT(wait_for(fence, 0) == 0);
  EXPECT(increase(timeline, 4) == 0);
  EXPECT(wait_for(fence, 0) == 1);
  EXPECT(increase(timeline, 10) == 0);
  EXPECT(wait_for(fence, 0) == 1);
  close(fence);
  close(timeline);
}

static void fence_one_timeline_merge(void) {
  int timeline = open_timeline();
  int a = make_fence(timeline, 1), b = make_fence(timeline, 2), c = make_fence(timeline, 3);
  int ab = merge(a, b);
  int d = merge(ab, c);

  EXPECT(d >= 0);
  EXPECT(count(a, ACTIVE) == 1 && count(b, ACTIVE) == 1 && count(c, ACTIVE) == 1);
  EXPECT(count(d, ACTIVE) == 1);
  EXPECT(increase(timeline, 1) == 0);
  EXPECT(wait_for(a, 0) == 1 && wait_for(d, 0) == 0);
  EXPECT(increase(timeline, 1) == 0);
  EXPECT(wait_for(b, 0) == 1 && wait_for(ab, 0) == 1 && wait_for(d, 0) == 0);
  EXPECT(increase(timeline, 1) == 0);
  EXPECT(wait_for(c, 0) == 1 && wait_for(d, 0) == 1);
  EXPECT(count(d, SIGNALED) == 1 && count(d, ACTIVE) == 0);
  close(a), close(b), close(c), close(ab), close(d);
  close(timeline);
}

static void fence_merge_same_fence(void) {
  int timeline = open_timeline();
  int fence = make_fence(timeline, 5);
  int merged = merge(fence, fence);

  EXPECT(merged >= 0 && count_all(merged) == 1);
  EXPECT(count(merged, SIGNALED) == 0);
  EXPECT(increase(timeline, 5) == 0);
  EXPECT(count(merged, SIGNALED) == 1);
  close(merged), close(fence);
  close(timeline);
}

static void fence_multi_timeline_wait(void) {
  int timelines[3], fences[3], ab, merged, i;

  for (i = 0; i < 3; i++) {
    timelines[i] = open_timeline();
    fences[i] = make_fence(timelines[i], 5);
    EXPECT(fences[i] >= 0);
  }
  ab = merge(fences[0], fences[1]);
  merged = merge(ab, fences[2]);
  EXPECT(count(merged, ACTIVE) == 3);
  for (i = 0; i < 3; i++) {
    EXPECT(wait_for(merged, 0) == 0);
    EXPECT(increase(timelines[i], 5) == 0);
    EXPECT(count(merged, ACTIVE) == 2 - i && count(merged, SIGNALED) == i + 1);
  }
  EXPECT(wait_for(merged, 100) == 1);
  close(ab), close(merged);
  for (i = 0; i < 3; i++) close(fences[i]), close(timelines[i]);
}

/* --- Stress --- */

#define HANDOVERS STRESS_ROUNDS
static int shared_timeline;
static int handovers;

static void* hand_over(void* which) {
  int me = *(int*)which, i, fence;

  for (i = 0; i < HANDOVERS; i++) {
    fence = make_fence(shared_timeline, (uint32_t)(i * 2 + me));
    EXPECT(wait_for(fence, -1) == 1);
    EXPECT(handovers == i * 2 + me);
    handovers++;
    EXPECT(increase(shared_timeline, 1) == 0);
    close(fence);
  }
  return NULL;
}

static void stress_two_threads_shared_timeline(void) {
  int one = 0, two = 1;
  pthread_t a, b;

  shared_timeline = open_timeline();
  EXPECT(pthread_create(&a, NULL, hand_over, &one) == 0);
  EXPECT(pthread_create(&b, NULL, hand_over, &two) == 0);
  pthread_join(a, NULL);
  pthread_join(b, NULL);
  EXPECT(handovers == 2 * HANDOVERS);
  close(shared_timeline);
}

#define PRODUCERS 5
#define ROUNDS STRESS_ROUNDS
static int producer_timelines[PRODUCERS], consumer_timeline;
static int produced;
static pthread_mutex_t producing = PTHREAD_MUTEX_INITIALIZER;

static void busy_wait(int fence) {
  while (status_of(fence) == ACTIVE)
    ;
}

static void* produce(void* which) {
  int me = *(int*)which, i, fence;

  for (i = 0; i < ROUNDS; i++) {
    fence = make_fence(consumer_timeline, (uint32_t)i);
    if (i % 2) busy_wait(fence);
    EXPECT(wait_for(fence, -1) == 1);
    pthread_mutex_lock(&producing);
    produced++;
    pthread_mutex_unlock(&producing);
    EXPECT(increase(producer_timelines[me], 1) == 0);
    close(fence);
  }
  return NULL;
}

static void consumer_stress_multi_producer_single_consumer(void) {
  pthread_t threads[PRODUCERS];
  int numbers[PRODUCERS], i, round, all, one, both;

  consumer_timeline = open_timeline();
  for (i = 0; i < PRODUCERS; i++) {
    numbers[i] = i;
    producer_timelines[i] = open_timeline();
  }
  for (i = 0; i < PRODUCERS; i++)
    EXPECT(pthread_create(&threads[i], NULL, produce, &numbers[i]) == 0);
  for (round = 1; round <= ROUNDS; round++) {
    all = make_fence(producer_timelines[0], (uint32_t)round);
    for (i = 1; i < PRODUCERS; i++) {
      one = make_fence(producer_timelines[i], (uint32_t)round);
      both = merge(all, one);
      EXPECT(both >= 0);
      close(all), close(one);
      all = both;
    }
    if (round % 2) busy_wait(all);
    EXPECT(wait_for(all, -1) == 1);
    EXPECT(produced == PRODUCERS * round);
    EXPECT(increase(consumer_timeline, 1) == 0);
    close(all);
  }
  for (i = 0; i < PRODUCERS; i++) {
    pthread_join(threads[i], NULL);
    close(producer_timelines[i]);
  }
  close(consumer_timeline);
}

#define TIMELINES 32
#define MERGES 32768

static void merge_stress_random_merge(void) {
  int timelines[TIMELINES], highest[TIMELINES], i, merged, one, both, used = 0;

  srand(1);
  for (i = 0; i < TIMELINES; i++) {
    timelines[i] = open_timeline();
    highest[i] = -1;
  }
  merged = make_fence(timelines[0], 0);
  EXPECT(merged >= 0);
  for (i = 0; i < MERGES; i++) {
    int timeline = rand() % TIMELINES, value = rand() % 1000 + 1;

    one = make_fence(timelines[timeline], (uint32_t)value);
    both = merge(merged, one);
    EXPECT(both >= 0);
    close(merged), close(one);
    merged = both;
    if (highest[timeline] < value) highest[timeline] = value;
  }
  for (i = 0; i < TIMELINES; i++) used += highest[i] != -1;
  EXPECT(count_all(merged) == used);
  for (i = 0; i < TIMELINES; i++) {
    if (highest[i] == -1) continue;
    EXPECT(wait_for(merged, 0) == 0);
    EXPECT(increase(timelines[i], (uint32_t)highest[i]) == 0);
  }
  EXPECT(wait_for(merged, 0) == 1);
  close(merged);
  for (i = 0; i < TIMELINES; i++) close(timelines[i]);
}

static const struct test_case cases[] = {
    {"KS01_alloc_timeline", alloc_timeline},
    {"KS02_alloc_fence", alloc_fence},
    {"KS03_alloc_fence_negative", alloc_fence_negative},
    {"KS04_fence_one_timeline_wait", fence_one_timeline_wait},
    {"KS05_fence_one_timeline_merge", fence_one_timeline_merge},
    {"KS06_fence_merge_same_fence", fence_merge_same_fence},
    {"KS07_fence_multi_timeline_wait", fence_multi_timeline_wait},
    {"KS08_stress_two_threads_shared_timeline", stress_two_threads_shared_timeline},
    {"KS09_consumer_stress_multi_producer_single_consumer",
     consumer_stress_multi_producer_single_consumer},
    {"KS10_merge_stress_random_merge", merge_stress_random_merge},
};

int main(int argc, char** argv) {
  return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
