// A futex whose waits may end for no reason.
#include <assert.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>
static atomic_int w;
static void* t(void* a) {
  atomic_store(&w, 1);
  syscall(SYS_futex, &w, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
  return a;
}
int main(void) {
  pthread_t p;
  pthread_create(&p, 0, t, 0);
  while (atomic_load(&w) == 0) syscall(SYS_futex, &w, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
  assert(atomic_load(&w) == 1);
  pthread_join(p, 0);
  return 0;
}
