// A lock for readers and writers, tried and taken.
#include <assert.h>
#include <errno.h>
#include <pthread.h>
static pthread_rwlock_t l = PTHREAD_RWLOCK_INITIALIZER;
static int x, y;
static void* w(void* a) {
  pthread_rwlock_wrlock(&l);
  x++;
  y++;
  pthread_rwlock_unlock(&l);
  return a;
}
static void* r(void* a) {
  pthread_rwlock_rdlock(&l);
  assert(x == y);
  pthread_rwlock_unlock(&l);
  return a;
}
int main(void) {
  pthread_t a, b;
  pthread_create(&a, 0, w, 0);
  pthread_create(&b, 0, r, 0);
  if (pthread_rwlock_tryrdlock(&l) == 0) {
    assert(x == y);
    pthread_rwlock_unlock(&l);
  }
  if (pthread_rwlock_trywrlock(&l) == 0) {
    x++;
    y++;
    pthread_rwlock_unlock(&l);
  }
  pthread_join(a, 0);
  pthread_join(b, 0);
  return 0;
}
