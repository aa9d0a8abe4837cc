// Semaphores.
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
static sem_t s;
static int x;
static void* w(void* a) {
  x = 1;
  sem_post(&s);
  return a;
}
int main(void) {
  sem_init(&s, 0, 0);
  pthread_t t;
  pthread_create(&t, 0, w, 0);
  if (sem_trywait(&s) != 0) {
    assert(errno == EAGAIN);
    sem_wait(&s);
  }
  assert(x == 1);
  pthread_join(t, 0);
  sem_destroy(&s);
  return 0;
}
