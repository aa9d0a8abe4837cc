// Spinlocks.
#include <assert.h>
#include <pthread.h>
static pthread_spinlock_t l;
static int x;
static void* w(void* a) {
  pthread_spin_lock(&l);
  x++;
  pthread_spin_unlock(&l);
  return a;
}
int main(void) {
  pthread_spin_init(&l, 0);
  pthread_t a, b;
  pthread_create(&a, 0, w, 0);
  pthread_create(&b, 0, w, 0);
  int n = 0;
  if (!pthread_spin_trylock(&l)) {
    x++;
    n = 1;
    pthread_spin_unlock(&l);
  }
  pthread_join(a, 0);
  pthread_join(b, 0);
  assert(x == 2 + n);
  pthread_spin_destroy(&l);
  return 0;
}
