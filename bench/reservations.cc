// The fences of a buffer, read while they change.
#include <array>
#include <atomic>
#include <cstddef>
#include <latch>
#include <memory>
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
  resv object_;
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
  mutable std::shared_mutex mutex_;
  std::array<std::shared_ptr<entry>, fence_count> entries_;
  std::uint64_t seqno_ = 0;
};

// One reader is measured; another one, and a writer, share the other CPU.
template <class Object>
batch read_among_others(Object& object, int other_cpu) {
  return [&object, other_cpu](std::uint64_t n) {
    std::atomic<bool> done = false;
    std::latch ready(3);
    const auto other = [&](auto turn) {
      return std::thread([&done, &ready, other_cpu, turn] {
        pin_to(other_cpu);
        ready.arrive_and_wait();
        while (!done.load(std::memory_order_relaxed)) turn();
      });
    };
    std::thread reader = other([&object] { keep(object.read()); });
    std::thread writer = other([&object] {
      object.write();
      std::this_thread::yield();
    });
    ready.arrive_and_wait();
    const batch_time time =
        time_calls(n, [&] { require(object.read() >= fence_count, "16 are pending"); });
    done.store(true);
    reader.join();
    writer.join();
    return time;
  };
}

}  // namespace

void resv_iterate(session& s) {
  const subject about{
      .name = "resv_iterate",
      .what =
          "the pending fences of 16, without a lock or references; also another reader, a writer",
      .baseline = "the same under a std::shared_mutex",
      .target = 0.2};
  if (s.cpus().size() < 2) return s.skip(about, "takes two CPUs");
  reservation ours;
  guarded_vector theirs;
  s.compare(about, s.how_much().scaled(200'000), read_among_others(ours, s.cpus()[1]),
            read_among_others(theirs, s.cpus()[1]), 31);
}

}  // namespace ufence::bench
