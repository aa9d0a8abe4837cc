#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
static _Atomic(void*) box;
static void* take(void* unused) {
  free(atomic_load(&box));
  return unused;
}
int main(void) {
  atomic_store(&box, malloc(8));
  pthread_t other;
  pthread_create(&other, NULL, take, NULL);
  pthread_join(other, NULL);
  take(NULL);
  return 0;
}
