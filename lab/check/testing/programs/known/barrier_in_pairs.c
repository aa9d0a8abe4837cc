// A barrier for two, and four that come: the third one waits for the fourth.
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

static pthread_barrier_t barrier;
static atomic_int arrived, passed;

static void* pass(void* unused) {
  atomic_fetch_add_explicit(&arrived, 1, memory_order_relaxed);
  pthread_barrier_wait(&barrier);
  const int nth = atomic_fetch_add_explicit(&passed, 1, memory_order_acq_rel) + 1;
  assert(nth < 3 || atomic_load_explicit(&arrived, memory_order_relaxed) == 4);
  return unused;
}

int main(void) {
  pthread_barrier_init(&barrier, 0, 2);
  pthread_t threads[3];
  for (int i = 0; i < 3; ++i) pthread_create(&threads[i], 0, pass, 0);
  pass(0);
  for (int i = 0; i < 3; ++i) pthread_join(threads[i], 0);
  return 0;
}
