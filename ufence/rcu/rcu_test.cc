#include "ufence/rcu/rcu.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "ufence/base/alloc.h"

using namespace ufence;

namespace {

struct node : rcu::deferred {
  static void free(rcu::deferred* d) noexcept {
    ++freed;
    delete static_cast<node*>(d);
  }
  static inline std::atomic<int> freed = 0;
  int value = 7;
};

}  // namespace

// ThreadSanitizer ends a child of a process with threads that starts one of its own.
#if defined(__SANITIZE_THREAD__)
constexpr bool children_may_start_threads = false;
#else
constexpr bool children_may_start_threads = true;
#endif

TEST(rcu, publishes_and_dereferences) {
  static int object = 3;
  ufence::atomic<int*> slot;
  {
    const rcu::read_section section;
    EXPECT_EQ(rcu::dereference(slot), nullptr);
  }
  rcu::publish(slot, &object);
  const rcu::read_section section;
  EXPECT_EQ(*rcu::dereference(slot), 3);
}

TEST(rcu, read_sections_nest) {
  {
    const rcu::read_section outer;
    const rcu::read_section inner;
  }
  rcu::synchronize();
}

TEST(rcu, a_grace_period_waits_for_sections_that_were_open) {
  std::atomic<bool> inside = false;
  std::atomic<bool> leave = false;
  bool left = false;  // plain: the grace period orders it
  std::jthread reader([&] {
    const rcu::read_section section;
    inside = true;
    while (!leave) std::this_thread::yield();
    left = true;
  });
  while (!inside) std::this_thread::yield();
  std::jthread lets_go([&] { leave = true; });
  rcu::synchronize();
  EXPECT_TRUE(left);
}

TEST(rcu, a_grace_period_does_not_wait_for_sections_of_threads_that_ended) {
  for (int i = 0; i < 10; ++i) {
    std::thread([] { const rcu::read_section section; }).join();
  }
  rcu::synchronize();
}

TEST(rcu, flush_frees_all_that_was_deferred) {
  node::freed = 0;
  for (int i = 0; i < 10; ++i) rcu::defer(*new node, &node::free);
  rcu::flush_deferred();
  EXPECT_EQ(node::freed, 10);
  rcu::flush_deferred();
  EXPECT_EQ(node::freed, 10);
}

TEST(rcu, defer_never_frees_and_never_waits) {
  node::freed = 0;
  {
    const rcu::read_section section;
    for (int i = 0; i < 1000; ++i) rcu::defer(*new node, &node::free);
  }
  EXPECT_EQ(node::freed, 0);
  rcu::flush_deferred();
  EXPECT_EQ(node::freed, 1000);
}

TEST(rcu, reclaim_has_a_batch_freed_on_another_thread) {
  struct here : rcu::deferred {
    static void free(rcu::deferred* d) noexcept {
      auto* self = static_cast<here*>(d);
      self->freed_by = ::gettid();
      *self->freed += 1;
      self->freed->notify_all();
    }
    std::atomic<int>* freed = nullptr;
    pid_t freed_by = 0;
  };
  std::atomic<int> freed = 0;
  std::array<here, 128> batch;
  for (here& one : batch) {
    one.freed = &freed;
    rcu::reclaim();  // less than a batch
    rcu::defer(one, &here::free);
  }
  EXPECT_EQ(freed, 0);
  rcu::reclaim();
  for (int now = 0; now != 128; now = freed) freed.wait(now);
  rcu::flush_deferred();
  for (const here& one : batch) EXPECT_NE(one.freed_by, ::gettid());
}

TEST(rcu, regress_reclaiming_waits_for_no_reader) {
  node::freed = 0;
  {
    const rcu::read_section section;
    for (int i = 0; i < 1000; ++i) {
      rcu::defer(*new node, &node::free);
      rcu::reclaim();
    }
    EXPECT_EQ(node::freed, 0);
  }
  rcu::flush_deferred();
  EXPECT_EQ(node::freed, 1000);
}

namespace {

// Memory of the size that is worth a look, in nodes that are told apart by nothing.
constexpr std::size_t batch_bytes = std::size_t{64} * 1024;

struct piece : rcu::deferred {
  static void free(rcu::deferred* d) noexcept {
    auto* self = static_cast<piece*>(d);
    self->freed_by = ::gettid();
    ++freed;
    freed.notify_all();
  }
  static void defer(piece& p, std::size_t bytes = batch_bytes) noexcept {
    rcu::defer_memory(p, bytes, &piece::free);
  }
  static inline std::atomic<int> freed = 0;
  pid_t freed_by = 0;
};

// Is inside of a read section from its construction on, until leave().
class staying_reader {
 public:
  staying_reader() { entered_.wait(false); }
  void leave() {
    left_ = true;
    left_.notify_all();
    thread_.join();
  }

 private:
  std::atomic<bool> entered_ = false;
  std::atomic<bool> left_ = false;
  std::thread thread_{[this] {
    const rcu::read_section section;
    entered_ = true;
    entered_.notify_all();
    left_.wait(false);
  }};
};

}  // namespace

TEST(rcu, memory_is_freed_by_the_thread_that_makes_more) {
  rcu::flush_deferred();
  piece::freed = 0;
  std::array<piece, 4> pieces;
  for (piece& p : pieces) {
    piece::defer(p, batch_bytes / pieces.size());
    if (&p != &pieces.back()) rcu::reclaim();  // less than a batch
    EXPECT_EQ(piece::freed, 0);
  }
  rcu::reclaim();
  EXPECT_EQ(piece::freed, 4);
  for (const piece& p : pieces) EXPECT_EQ(p.freed_by, ::gettid());
}

TEST(rcu, a_maker_frees_nothing_that_a_reader_may_see_and_waits_for_none) {
  rcu::flush_deferred();
  piece::freed = 0;
  std::array<piece, 3> pieces;
  staying_reader reader;
  piece::defer(pieces[0]);
  rcu::reclaim();
  EXPECT_EQ(piece::freed, 0);
  reader.leave();
  {
    const rcu::read_section own;
    piece::defer(pieces[1]);
    rcu::reclaim();
    EXPECT_EQ(piece::freed, 0);
  }
  piece::defer(pieces[2]);
  rcu::reclaim();
  EXPECT_EQ(piece::freed, 3);
}

// Also one that liburcu knew before the thread's first section, and one of a thread that has the place of
// another that has ended.
TEST(rcu, a_maker_sees_each_reader) {
  rcu::flush_deferred();
  piece::freed = 0;
  std::array<piece, 8> pieces;
  for (piece& p : pieces) {
    std::atomic<int> step = 0;
    std::thread reader([&] {
      static_cast<void>(rcu::is_reading());
      const rcu::read_section outer;
      { const rcu::read_section inner; }
      step = 1;
      step.notify_all();
      step.wait(1);
    });
    step.wait(0);
    piece::defer(p);
    rcu::reclaim();
    EXPECT_EQ(piece::freed, 0);
    step = 2;
    step.notify_all();
    reader.join();
    rcu::flush_deferred();
    EXPECT_EQ(piece::freed.exchange(0), 1);
  }
}

// More threads than the table of readers has places for: then nobody but the thread for it frees.
TEST(rcu, makers_free_nothing_where_some_readers_are_not_known) {
  if (!children_may_start_threads) GTEST_SKIP() << "the child has threads";
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(250);
    constexpr int many = 520;
    std::atomic<int> inside = 0;
    std::atomic<bool> leave = false;
    std::vector<std::thread> readers;
    for (int i = 0; i < many; ++i) {
      readers.emplace_back([&] {
        { const rcu::read_section section; }
        ++inside;
        inside.notify_all();
        leave.wait(false);
      });
    }
    for (int now = 0; now != many; now = inside) inside.wait(now);
    piece::freed = 0;
    piece one;
    piece::defer(one);
    rcu::reclaim();
    if (piece::freed != 0) ::_exit(1);
    rcu::flush_deferred();
    if (piece::freed != 1) ::_exit(2);
    leave = true;
    leave.notify_all();
    for (std::thread& reader : readers) reader.join();
    ::_exit(0);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(rcu, memory_that_a_reader_keeps_for_long_is_freed_by_the_thread_for_it) {
  rcu::flush_deferred();
  piece::freed = 0;
  std::array<piece, 16> pieces;
  staying_reader reader;
  for (piece& p : pieces) {
    piece::defer(p);
    rcu::reclaim();
  }
  EXPECT_EQ(piece::freed, 0);
  reader.leave();
  for (int now = 0; now != 16; now = piece::freed) piece::freed.wait(now);
  rcu::flush_deferred();
  for (const piece& p : pieces) EXPECT_NE(p.freed_by, ::gettid());
}

TEST(rcu, a_flush_frees_memory_too_and_what_makers_could_not_free) {
  rcu::flush_deferred();
  piece::freed = 0;
  std::array<piece, 2> pieces;
  staying_reader reader;
  piece::defer(pieces[0]);
  rcu::reclaim();
  piece::defer(pieces[1], 1);
  reader.leave();
  rcu::flush_deferred();
  EXPECT_EQ(piece::freed, 2);
}

// Where no thread is to be had, nobody waits and nothing is lost.
TEST(rcu, a_refused_thread_is_asked_for_again) {
  static std::array<node, 256> nodes;
  const auto defer_batch = [](std::size_t first) {
    for (std::size_t i = 0; i < 128; ++i) {
      rcu::defer(nodes[first + i], [](rcu::deferred*) noexcept {
        ++node::freed;
        node::freed.notify_all();
      });
    }
    rcu::reclaim();
  };
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(250);
    node::freed = 0;
    // A user that may have no further thread; root always may.
    const rlimit none{.rlim_cur = 0, .rlim_max = RLIM_INFINITY};
    rlimit before{};
    if (::getrlimit(RLIMIT_NPROC, &before) != 0) ::_exit(2);
    if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) ::_exit(77);
    if (::setrlimit(RLIMIT_NPROC, &none) != 0) {
      const rlimit below{.rlim_cur = 0, .rlim_max = before.rlim_max};
      if (::setrlimit(RLIMIT_NPROC, &below) != 0) ::_exit(77);
    }
    defer_batch(0);
    if (node::freed != 0) ::_exit(3);
    if (::setrlimit(RLIMIT_NPROC, &before) != 0) ::_exit(77);
    defer_batch(128);
    for (int now = 0; now != 256; now = node::freed) node::freed.wait(now);
    ::_exit(0);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "limits can't be changed here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(rcu, flush_waits_for_what_another_thread_is_freeing) {
  node::freed = 0;
  std::atomic<bool> stop = false;
  std::atomic<int> deferred = 0;
  std::jthread defers([&] {
    while (!stop) {
      rcu::defer(*new node, &node::free);
      ++deferred;
    }
  });
  for (int i = 0; i < 20; ++i) {
    const int before = deferred;
    rcu::flush_deferred();
    EXPECT_GE(node::freed, before);
  }
  stop = true;
  defers.join();
  rcu::flush_deferred();
  EXPECT_EQ(node::freed, deferred);
}

TEST(rcu, a_deferred_free_may_defer_another) {
  struct chained : rcu::deferred {
    static void free(rcu::deferred* d) noexcept {
      rcu::defer(*new node, &node::free);
      delete static_cast<chained*>(d);
    }
  };
  node::freed = 0;
  rcu::defer(*new chained, &chained::free);
  rcu::flush_deferred();
  rcu::flush_deferred();
  EXPECT_EQ(node::freed, 1);
}

TEST(rcu, works_in_a_child_of_fork_while_others_read_and_defer) {
#ifdef UFENCE_ASAN
  GTEST_SKIP() << "gcc 12's AddressSanitizer does not unlock malloc() in a child of fork()";
#endif
  struct pooled : rcu::deferred {
    static void free(rcu::deferred* d) noexcept { static_cast<pooled*>(d)->is_deferred = false; }
    std::atomic<bool> is_deferred = false;
  };
  static std::array<pooled, 64> pool;
  static pooled of_child;
  std::atomic<bool> stop = false;
  std::jthread reads([&] {
    while (!stop) const rcu::read_section section;
  });
  std::jthread defers([&] {
    while (!stop) {
      for (pooled& one : pool) {
        if (!one.is_deferred.exchange(true)) rcu::defer(one, &pooled::free);
      }
      rcu::reclaim();
    }
  });
  for (int i = 0; i < 20; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(250);
      { const rcu::read_section section; }
      rcu::synchronize();
      of_child.is_deferred = true;
      rcu::defer(of_child, &pooled::free);
      rcu::flush_deferred();
      if (of_child.is_deferred) ::_exit(1);
      if (!children_may_start_threads) ::_exit(0);
      // The child has a thread of its own to free batches.
      static std::array<pooled, 128> batch;
      for (pooled& one : batch) {
        one.is_deferred = true;
        rcu::defer(one, &pooled::free);
      }
      rcu::reclaim();
      for (pooled& one : batch) {
        while (one.is_deferred) std::this_thread::yield();
      }
      ::_exit(0);
    }
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  stop = true;
  defers.join();
  reads.join();
  rcu::flush_deferred();
}
