// A driver that uses a library with threads, or with values of threads: which one is chosen by a macro. Each
// job uses it, and is complete then.
#include <cstdint>

#include "ufence/module/testing/plain_driver.h"

#if defined(BRINGS_OPENMP)
#include <omp.h>
#elif defined(BRINGS_TBB)
#include <oneapi/tbb/parallel_for.h>

#include <atomic>
#elif defined(BRINGS_URCU)
#include <urcu.h>

#include <cstdlib>
#elif defined(BRINGS_MIMALLOC)
#include <mimalloc.h>
#elif defined(BRINGS_PYTHON)
#include <Python.h>
#endif

namespace {

#if defined(BRINGS_OPENMP)

bool use() {
  std::int64_t sum = 0;
#pragma omp parallel for reduction(+ : sum) num_threads(3)
  for (int n = 0; n < 1000; ++n) sum += n;
  return sum == 499'500;
}
void quiet() {}

#elif defined(BRINGS_TBB)

bool use() {
  std::atomic<std::int64_t> sum{0};
  tbb::parallel_for(0, 1000, [&sum](int n) { sum += n; });
  return sum == 499'500;
}
void quiet() {}

#elif defined(BRINGS_URCU)

struct node {
  rcu_head head;
};

void give_back(rcu_head* head) { std::free(head); }

bool use() {
  auto* const made = static_cast<node*>(std::malloc(sizeof(node)));
  if (made == nullptr) return false;
  urcu_memb_call_rcu(&made->head, &give_back);
  return true;
}
#if defined(NO_BARRIER)
void quiet() {}
#else
void quiet() { urcu_memb_barrier(); }
#endif

#elif defined(BRINGS_MIMALLOC)

// This thread gets a heap of the library's, and a key under which it is kept.
bool use() {
  void* const memory = mi_malloc(100);
  mi_free(memory);
  return memory != nullptr;
}
void quiet() {}

#elif defined(BRINGS_PYTHON)

// Python has a thread of its own after the first job.
bool use() {
  if (Py_IsInitialized() == 0) {
    Py_InitializeEx(0);
    PyEval_SaveThread();
  }
  const PyGILState_STATE held = PyGILState_Ensure();
  const int failed = PyRun_SimpleString(
      "import threading\n"
      "if threading.active_count() < 2:\n"
      "  threading.Thread(target=threading.Event().wait, daemon=True).start()\n");
  PyGILState_Release(held);
  return failed == 0;
}
void quiet() {}

#else

bool use() { return true; }
void quiet() {}

#endif

int submit(void*, ufence_job* job) {
  plain_driver::host->signal(job, use() ? 0 : -5);
  return 0;
}

void stop(void*) { quiet(); }

}  // namespace

PLAIN_DRIVER("brings", submit, stop, plain_driver::quiet);
