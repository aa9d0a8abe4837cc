// The fences of a buffer, read while they change.
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <latch>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <utility>
#include <vector>

#include "bench/benchmarks.h"
#include "ufence/container/resv.h"
#include "ufence/fence/fence.h"
#include "ufence/rcu/rcu.h"

namespace ufence::bench {
namespace {

constexpr std::size_t fence_count = 16;

new_fence make_fence(std::uint64_t context, std::uint64_t seqno) {
  result<new_fence> made = fence::create(context, seqno);
  require(made.has_value(), "no memory for a fence");
  return *std::move(made);
}

// 16 pending fences; each turn of the writer replaces one by a later one of its context.
class reservation {
 public:
  reservation() : first_(fence::allocate_contexts(fence_count)) {
    for (std::size_t i = 0; i < fence_count; ++i) write();
  }
  ~reservation() {
    for (signaler& right : rights_) right.signal();
  }

  void write() {
    const std::size_t i = seqno_++ % fence_count;
    new_fence made = make_fence(first_ + i, seqno_);
    require(!object_.lock() && !object_.reserve(1) && !object_.add(made.fence, resv_usage::read),
            "no memory for a list");
    object_.unlock();
    if (rights_[i]) rights_[i].signal();
    rights_[i] = std::move(made.signal);
  }
  [[nodiscard]] std::size_t read() const {
    std::size_t pending = 0;
    const rcu::read_section section;
    resv_rcu_cursor all(object_, resv_usage::read);
    while (const fence* f = all.next()) {
      keep(f);
      ++pending;
    }
    return pending;
  }

 private:
  alignas(64) resv object_;
  const std::uint64_t first_;
  std::uint64_t seqno_ = 0;
  std::array<signaler, fence_count> rights_;
};

// The same with what one would take otherwise.
class guarded_vector {
 public:
  guarded_vector() {
    for (std::size_t i = 0; i < fence_count; ++i) write();
  }

  void write() {
    const std::size_t i = seqno_++ % fence_count;
    auto made = std::make_shared<entry>();
    const std::unique_lock hold(mutex_);
    std::shared_ptr<entry>& at = entries_[i];
    if (at) at->is_signaled.store(true, std::memory_order_release);
    at = std::move(made);
  }
  [[nodiscard]] std::size_t read() const {
    std::size_t pending = 0;
    const std::shared_lock hold(mutex_);
    for (const std::shared_ptr<entry>& e : entries_) {
      if (e->is_signaled.load(std::memory_order_acquire)) continue;
      keep(e.get());
      ++pending;
    }
    return pending;
  }

 private:
  struct entry {
    std::atomic<bool> is_signaled = false;
  };
  // In lines of their own: where the object happens to lie must not matter.
  alignas(64) mutable std::shared_mutex mutex_;
  alignas(64) std::array<std::shared_ptr<entry>, fence_count> entries_;
  std::uint64_t seqno_ = 0;
};

// The writer's pause: what it does not hold up, readers do among themselves.
constexpr std::int64_t write_period_ns = 10'000;

std::int64_t clock_ns() noexcept {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// One reader is measured. On the other CPU one thread is the second reader and, at the same rate
// for whatever is measured, the writer: with threads of their own there, the scheduler would decide
// how often the writer comes, and a lock be held by a thread that does not run.
template <class Object>
batch read_among_others(Object& object, int other_cpu) {
  return [&object, other_cpu](std::uint64_t n) {
    std::atomic<bool> done = false;
    std::atomic<std::uint64_t> writes = 0;
    std::latch ready(2);
    std::thread other([&] {
      pin_to(other_cpu);
      ready.arrive_and_wait();
      std::int64_t write_at = clock_ns();
      while (!done.load(std::memory_order_relaxed)) {
        keep(object.read());
        if (clock_ns() < write_at) continue;
        object.write();
        write_at = clock_ns() + write_period_ns;
        writes.fetch_add(1, std::memory_order_relaxed);
      }
    });
    ready.arrive_and_wait();
    while (writes.load(std::memory_order_relaxed) == 0) std::this_thread::yield();
    writes.store(0, std::memory_order_relaxed);
    const batch_time time =
        time_calls(n, [&] { require(object.read() >= fence_count, "16 are pending"); });
    const auto due = static_cast<std::uint64_t>(time.ns / write_period_ns);
    done.store(true, std::memory_order_relaxed);
    other.join();
    return batch_time{
        .ns = time.ns,
        .was_disturbed = time.was_disturbed || writes.load(std::memory_order_relaxed) < due / 2};
  };
}

}  // namespace

void resv_iterate(session& s) {
  const subject about{.name = "resv_iterate",
                      .what =
                          "the pending fences of 16, without a lock or references; elsewhere a "
                          "reader, and a writer "
                          "each 10 us",
                      .baseline = "the same under a std::shared_mutex",
                      .target = 0.2};
  if (s.cpus().size() < 2) return s.skip(about, "takes two CPUs");
  reservation ours;
  guarded_vector theirs;
  s.compare(about, s.how_much().scaled(100'000), read_among_others(ours, s.cpus()[1]),
            read_among_others(theirs, s.cpus()[1]), 31);
}

}  // namespace ufence::bench
