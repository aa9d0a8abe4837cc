#include <pthread.h>
#include <semaphore.h>

#include <atomic>
#include <cassert>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>

std::shared_mutex lock;
int data = 0;
sem_t done;
thread_local int mine = 7;
std::once_flag once;
int made = 0;
pthread_key_t key;
std::atomic<int> ended{0};

struct counts {
  ~counts() { ended.fetch_add(1); }
};
thread_local counts at_end;

int& made_once() {
  static int object = ++made;
  return object;
}

int main() {
  sem_init(&done, 0, 0);
  pthread_key_create(&key, [](void* p) { delete static_cast<int*>(p); });
  auto shared = std::make_shared<std::vector<int>>(3, 1);
  std::thread other([shared] {
    static_cast<void>(&at_end);
    pthread_setspecific(key, new int(1));
    mine = 8;
    assert(mine == 8);
    std::call_once(once, [] { ++made; });
    {
      std::lock_guard guard(lock);
      data = shared->at(0);
    }
    assert(made_once() == 2);
    sem_post(&done);
    std::thread inner([] { assert(mine == 7); });
    inner.join();
  });
  std::call_once(once, [] { ++made; });
  {
    std::shared_lock guard(lock);
    assert(data == 0 || data == 1);
  }
  sem_wait(&done);
  assert(data == 1);
  assert(mine == 7);
  other.join();
  shared.reset();
  assert(made == 2);
}
