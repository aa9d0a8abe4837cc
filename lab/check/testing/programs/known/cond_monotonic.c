// A condition variable with a clock and a deadline.
#include <pthread.h>
#include <time.h>
static pthread_mutex_t m;
static pthread_cond_t c;
static int ready;
static void* w(void* a) {
  pthread_mutex_lock(&m);
  ready = 1;
  pthread_cond_broadcast(&c);
  pthread_mutex_unlock(&m);
  return a;
}
int main(void) {
  pthread_condattr_t ca;
  pthread_condattr_init(&ca);
  pthread_condattr_setclock(&ca, CLOCK_MONOTONIC);
  pthread_cond_init(&c, &ca);
  pthread_condattr_destroy(&ca);
  pthread_mutex_init(&m, 0);
  pthread_t a;
  pthread_create(&a, 0, w, 0);
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  t.tv_nsec += 1;
  pthread_mutex_lock(&m);
  int e = 0;
  while (!ready && !e) e = pthread_cond_timedwait(&c, &m, &t);
  pthread_mutex_unlock(&m);
  pthread_join(a, 0);
  pthread_cond_destroy(&c);
  pthread_mutex_destroy(&m);
  return 0;
}
