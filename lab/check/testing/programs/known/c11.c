// Threads, locks, conditions, once and keys of C11.
#include <assert.h>
#include <stdatomic.h>
#include <threads.h>
static mtx_t m;
static cnd_t c;
static once_flag o = ONCE_FLAG_INIT;
static tss_t k;
static int ready, n;
static thread_local int mine = 3;
static void once(void) { n++; }
static int w(void* a) {
  call_once(&o, once);
  tss_set(k, &n);
  assert(tss_get(k) == &n);
  mine++;
  mtx_lock(&m);
  ready = 1;
  cnd_signal(&c);
  mtx_unlock(&m);
  return 5;
}
int main(void) {
  mtx_init(&m, mtx_plain);
  cnd_init(&c);
  tss_create(&k, 0);
  thrd_t t;
  thrd_create(&t, w, 0);
  mtx_lock(&m);
  while (!ready) cnd_wait(&c, &m);
  mtx_unlock(&m);
  int r;
  thrd_join(t, &r);
  assert(r == 5 && n == 1 && mine == 3);
  tss_delete(k);
  cnd_destroy(&c);
  mtx_destroy(&m);
  return 0;
}
