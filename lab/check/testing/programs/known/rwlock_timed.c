// The same with deadlines.
#include <errno.h>
#include <pthread.h>
#include <time.h>
static pthread_rwlock_t l = PTHREAD_RWLOCK_INITIALIZER;
static int x;
static void* w(void* a) {
  pthread_rwlock_wrlock(&l);
  x++;
  pthread_rwlock_unlock(&l);
  return a;
}
int main(void) {
  pthread_t a;
  pthread_create(&a, 0, w, 0);
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  t.tv_sec++;
  int e = pthread_rwlock_timedrdlock(&l, &t);
  if (!e) {
    volatile int y = x;
    (void)y;
    pthread_rwlock_unlock(&l);
  } else if (e != ETIMEDOUT)
    return 1;
  e = pthread_rwlock_timedwrlock(&l, &t);
  if (!e) {
    x++;
    pthread_rwlock_unlock(&l);
  }
  pthread_join(a, 0);
  return 0;
}
