// What a thread is ordered after has not happened later.
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

static long sent;
static atomic_int is_sent;

static long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void* sends(void* unused) {
  sleep(1);
  sent = now();
  atomic_store_explicit(&is_sent, 1, memory_order_release);
  return unused;
}

int main(void) {
  const long began = now();
  pthread_t sender;
  pthread_create(&sender, 0, sends, 0);
  if (atomic_load_explicit(&is_sent, memory_order_acquire)) assert(now() >= sent);
  pthread_join(sender, 0);
  assert(now() - began >= 1000000000L);
  return 0;
}
