// Two rounds, one serial thread in each.
#include <assert.h>
#include <pthread.h>
static pthread_barrier_t b;
static int v[2];
static _Atomic int serial;
static void* w(void* a) {
  long i = (long)a;
  for (int r = 0; r < 2; r++) {
    v[i] = r + 1;
    if (pthread_barrier_wait(&b) == PTHREAD_BARRIER_SERIAL_THREAD) serial++;
    assert(v[1 - i] == r + 1);
    pthread_barrier_wait(&b);
  }
  return 0;
}
int main(void) {
  pthread_barrier_init(&b, 0, 2);
  pthread_t a;
  pthread_create(&a, 0, w, (void*)1);
  w(0);
  pthread_join(a, 0);
  assert(serial == 2);
  pthread_barrier_destroy(&b);
  return 0;
}
