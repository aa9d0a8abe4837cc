// A thread ends from within a call.
#include <assert.h>
#include <pthread.h>
static void inner(void) { pthread_exit((void*)4); }
static void* w(void* a) {
  inner();
  return 0;
}
int main(void) {
  pthread_t t;
  pthread_create(&t, 0, w, 0);
  void* r;
  pthread_join(t, &r);
  assert(r == (void*)4);
  return 0;
}
