// A condition goes once all are notified, a barrier once one has come through.
#include <pthread.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t* barrier;
static int is_there;

static void pass(void) {
  if (pthread_barrier_wait(barrier) != PTHREAD_BARRIER_SERIAL_THREAD) return;
  pthread_barrier_destroy(barrier);
  free(barrier);
}

static void* waits(void* unused) {
  pthread_mutex_lock(&lock);
  while (!is_there) pthread_cond_wait(&condition, &lock);
  pthread_mutex_unlock(&lock);
  pass();
  return unused;
}

int main(void) {
  barrier = malloc(sizeof *barrier);
  pthread_barrier_init(barrier, 0, 2);
  pthread_t thread;
  pthread_create(&thread, 0, waits, 0);
  pthread_mutex_lock(&lock);
  is_there = 1;
  pthread_cond_broadcast(&condition);
  pthread_cond_destroy(&condition);
  pthread_mutex_unlock(&lock);
  pass();
  pthread_join(thread, 0);
  return 0;
}
