// One fence, one thread.
#include <array>
#include <atomic>
#include <future>
#include <memory>
#include <mutex>
#include <utility>

#include "bench/benchmarks.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/timeline.h"

namespace ufence::bench {
namespace {

new_fence make_fence(backend* data = nullptr) {
  result<new_fence> made = fence::create(fence::allocate_contexts(1), 1, data);
  require(made.has_value(), "no memory for a fence");
  return *std::move(made);
}

// Counts how often it ran.
struct counting_callback : callback {
  counting_callback() noexcept : callback(&counting_callback::run) {}
  static void run(callback& node, fence&) noexcept { ++static_cast<counting_callback&>(node).runs; }
  std::uint64_t runs = 0;
};

// Work whose op says that it is not complete.
struct pending_work : backend {
  pending_work() noexcept : backend{&table} {}
  static int poll(backend* data) noexcept {
    ++static_cast<pending_work*>(data)->polls;
    return 0;
  }
  static const backend_ops table;
  std::uint64_t polls = 0;
};
constexpr backend_ops pending_work::table{.poll = &pending_work::poll};

// Data that its retire frees.
struct freed_work : backend {
  freed_work() noexcept : backend{&table} {}
  static void retire(backend* data, retired_by) noexcept { delete static_cast<freed_work*>(data); }
  static const backend_ops table;
};
constexpr backend_ops freed_work::table{.retire = &freed_work::retire};

}  // namespace

// The price of a locked instruction in real code: it waits until the stores before it, be it only the
// return address of a call, are in the cache. The floor of whatever takes several of them.
void locked_after_store(session& s) {
  struct alignas(64) line {
    std::atomic<std::uint32_t> word{0};
    std::atomic<std::uint32_t> stored{0};
  };
  line at;
  s.compare(
      {.name = "locked_after_store",
       .what = "a locked instruction with a plain store before it",
       .baseline = "1 uncontended locked instruction"},
      s.how_much().scaled(40'000),
      [&](std::uint64_t n) {
        return time_calls(n, [&] {
          at.stored.store(1, std::memory_order_relaxed);
          keep(at.word.fetch_add(1, std::memory_order_acq_rel));
        });
      },
      locked_instructions(1));
}

void is_signaled(session& s) {
  new_fence made = make_fence();
  made.signal.signal();
  fence& f = *made.fence;
  alignas(64) std::atomic<std::uint32_t> word{1};
  // Eight a turn, so that the loop does not hide what is measured.
  const auto eight = [](std::uint64_t n, auto look) {
    std::uint64_t seen = 0;
    const batch_time time = time_calls(n / 8, [&] {
      for (int i = 0; i < 8; ++i) {
        if (look()) ++seen;
        clobber();
      }
    });
    require(seen == n / 8 * 8, "it is signaled");
    return time;
  };
  s.compare(
      {.name = "is_signaled",
       .what = "is_signaled() of a fence marked signaled",
       .baseline = "acquire load of an atomic word and a test",
       .target = 1.2},
      s.how_much().scaled(400'000) / 8 * 8 + 8,
      [&](std::uint64_t n) { return eight(n, [&] { return f.is_signaled(); }); },
      [&](std::uint64_t n) {
        return eight(n, [&] { return (word.load(std::memory_order_acquire) & 1) != 0; });
      });
}

void create_signal_release(session& s) {
  const std::uint64_t context = fence::allocate_contexts(1);
  s.compare(
      {.name = "create_signal_release",
       .what = "fence::create(), signal(), drop; nobody waits",
       .baseline = "std::promise<void>, get_future(), set_value(), drop both",
       .target = 0.3},
      s.how_much().scaled(10'000),
      [context](std::uint64_t n) {
        std::uint64_t signaled = 0;
        const batch_time time = time_calls(n, [&] {
          result<new_fence> made = fence::create(context, 1);
          if (made && made->signal.signal()) ++signaled;
        });
        require(signaled == n, "each fence is signaled");
        return time;
      },
      [](std::uint64_t n) {
        return time_calls(n, [] {
          std::promise<void> promise;
          const std::future<void> future = promise.get_future();
          promise.set_value();
          keep(&future);
        });
      });
}

void create_with_data(session& s) {
  result<timeline_issuer> issuer =
      timeline_issuer::create({.driver_name = "bench", .timeline_name = "queue"});
  require(issuer.has_value(), "no memory for a timeline");
  s.compare(
      {.name = "create_with_data",
       .what = "a fence of a timeline with allocated data: made, referenced, signaled, retired, dropped",
       .baseline = "std::promise<void>, get_future(), set_value(), and an object, drop all"},
      s.how_much().scaled(10'000),
      [&](std::uint64_t n) {
        std::uint64_t signaled = 0;
        const batch_time time = time_calls(n, [&] {
          result<new_fence> made = issuer->create_unordered(new freed_work);
          if (!made) return;
          const fence_ref consumer = made->fence;
          if (made->signal.signal()) ++signaled;
          keep(&consumer);
        });
        require(signaled == n, "each fence is signaled");
        return time;
      },
      [](std::uint64_t n) {
        return time_calls(n, [] {
          std::promise<void> promise;
          const std::future<void> future = promise.get_future();
          const auto data = std::make_unique<freed_work>();
          promise.set_value();
          keep(&future);
          keep(&data);
        });
      });
}

void add_remove_callback(session& s) {
  new_fence made = make_fence();
  counting_callback node;
  s.compare(
      {.name = "add_remove_callback",
       .what = "add_callback() and remove_callback() of one node",
       .baseline = "4 uncontended locked instructions on one word",
       .target = 1.15},
      s.how_much().scaled(20'000),
      [&](std::uint64_t n) {
        std::uint64_t removed = 0;
        const batch_time time = time_calls(n, [&] {
          static_cast<void>(made.fence->add_callback(node));
          if (*made.fence->remove_callback(node)) ++removed;
        });
        require(removed == n, "each callback is removed");
        return time;
      },
      locked_instructions(4));
  made.signal.signal();
  require(node.runs == 0, "a removed callback does not run");
}

void add_64_callbacks(session& s) {
  const std::uint64_t context = fence::allocate_contexts(1);
  std::array<counting_callback, 64> nodes;
  s.compare(
      {.name = "add_64_callbacks",
       .what = "fence::create(), 64 x add_callback(), signal(), drop",
       .baseline = "256 uncontended locked instructions on one word",
       .target = 1.25},
      s.how_much().scaled(500),
      [&](std::uint64_t n) {
        for (counting_callback& node : nodes) node.runs = 0;
        const batch_time time = time_calls(n, [&] {
          result<new_fence> made = fence::create(context, 1);
          if (!made) return;
          for (counting_callback& node : nodes) {
            static_cast<void>(made->fence->add_callback(node));
          }
          made->signal.signal();
        });
        for (const counting_callback& node : nodes) {
          require(node.runs == n, "each callback runs once");
        }
        return time;
      },
      locked_instructions(256));
}

void poll_op(session& s) {
  pending_work work;
  new_fence made = make_fence(&work);
  s.compare(
      {.name = "poll_op",
       .what = "poll() of a fence whose op says pending: in and out of the gate",
       .baseline = "2 uncontended locked instructions on one word",
       .target = 1.2},
      s.how_much().scaled(20'000),
      [&](std::uint64_t n) {
        work.polls = 0;
        const batch_time time = time_calls(n, [&] { keep(made.fence->poll()); });
        require(work.polls == n, "each poll calls the op");
        return time;
      },
      locked_instructions(2));
  made.signal.signal();
}

// The price of looking in designs that hold the fence's lock over it and over the issuer's op.
struct locked_fence {
  std::mutex lock;
  bool is_signaled = false;
  backend* data = nullptr;

  bool poll() {
    const std::lock_guard hold(lock);
    return is_signaled || (data != nullptr && data->ops->poll(data) != 0);
  }
};

void poll_op_or_lock(session& s) {
  pending_work work;
  pending_work locked_work;
  new_fence made = make_fence(&work);
  alignas(64) locked_fence locked;
  locked.data = &locked_work;
  s.compare(
      {.name = "poll_op_or_lock",
       .what = "poll() of a fence whose op says pending",
       .baseline = "the same op under an uncontended std::mutex of the fence"},
      s.how_much().scaled(20'000),
      [&](std::uint64_t n) { return time_calls(n, [&] { keep(made.fence->poll()); }); },
      [&](std::uint64_t n) { return time_calls(n, [&] { keep(locked.poll()); }); });
  require(work.polls != 0 && locked_work.polls != 0, "both call the op");
  made.signal.signal();
}

void is_signaled_or_lock(session& s) {
  new_fence made = make_fence();
  made.signal.signal();
  alignas(64) locked_fence locked;
  locked.is_signaled = true;
  s.compare(
      {.name = "is_signaled_or_lock",
       .what = "is_signaled() of a fence marked signaled",
       .baseline = "a flag under an uncontended std::mutex of the fence"},
      s.how_much().scaled(40'000),
      [&](std::uint64_t n) { return time_calls(n, [&] { keep(made.fence->is_signaled()); }); },
      [&](std::uint64_t n) { return time_calls(n, [&] { keep(locked.poll()); }); });
}

}  // namespace ufence::bench
