// A lock of C11 with a deadline.
#include <threads.h>
#include <time.h>
static mtx_t m;
static int x;
static int w(void* a) {
  mtx_lock(&m);
  x++;
  mtx_unlock(&m);
  return 0;
}
int main(void) {
  mtx_init(&m, mtx_timed);
  thrd_t t;
  thrd_create(&t, w, 0);
  struct timespec s;
  timespec_get(&s, TIME_UTC);
  s.tv_sec++;
  if (mtx_timedlock(&m, &s) == thrd_success) {
    x++;
    mtx_unlock(&m);
  }
  thrd_join(t, 0);
  thrd_yield();
  return 0;
}
