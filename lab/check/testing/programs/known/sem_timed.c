// A semaphore with a deadline.
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>
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
  struct timespec ts;
  clock_gettime(CLOCK_REALTIME, &ts);
  ts.tv_sec++;
  if (sem_timedwait(&s, &ts) == 0)
    assert(x == 1);
  else
    assert(errno == ETIMEDOUT || errno == EINTR);
  pthread_join(t, 0);
  return 0;
}
