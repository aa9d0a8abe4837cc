// Keys with a destructor.
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
static pthread_key_t k;
static int freed;
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static void drop(void* p) {
  free(p);
  pthread_mutex_lock(&m);
  freed++;
  pthread_mutex_unlock(&m);
}
static void* t(void* a) {
  assert(!pthread_getspecific(k));
  int* p = malloc(4);
  *p = 1;
  pthread_setspecific(k, p);
  assert(pthread_getspecific(k) == p);
  return a;
}
int main(void) {
  pthread_key_create(&k, drop);
  pthread_t a, b;
  pthread_create(&a, 0, t, 0);
  pthread_create(&b, 0, t, 0);
  pthread_join(a, 0);
  pthread_join(b, 0);
  assert(freed == 2);
  pthread_key_delete(k);
  return 0;
}
