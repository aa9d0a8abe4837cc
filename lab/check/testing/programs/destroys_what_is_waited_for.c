#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int is_there;

static void* waits(void* unused) {
  pthread_mutex_lock(&lock);
  while (!is_there) pthread_cond_wait(&condition, &lock);
  pthread_mutex_unlock(&lock);
  return unused;
}

int main(void) {
  pthread_t thread;
  pthread_create(&thread, 0, waits, 0);
  pthread_mutex_lock(&lock);
  is_there = 1;
  pthread_cond_destroy(&condition);
  pthread_mutex_unlock(&lock);
  pthread_join(thread, 0);
  return 0;
}
