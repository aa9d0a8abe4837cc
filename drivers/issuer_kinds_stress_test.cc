// Each kind of issuer is unloaded in the middle of its work, again and again, while consumers hold its
// fences, wait, ask for names, merge and export. UFENCE_UNLOADS=5000 before the program is the long form.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <latch>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "drivers/display/display.h"
#include "drivers/evict/evict.h"
#include "drivers/legacy/legacy.h"
#include "drivers/ring/ring.h"
#include "drivers/sw/sw.h"
#include "drivers/testing/driver_test.h"
#include "drivers/tlb/tlb.h"
#include "drivers/userq/userq.h"
#include "ufence/base/fd.h"
#include "ufence/container/unwrap.h"
#include "ufence/fence/callback.h"
#include "ufence/fence/wait.h"
#include "ufence/sync/sync_file.h"

namespace ufence::drivers {
namespace {

int rounds() {
  const char* const wanted = std::getenv("UFENCE_UNLOADS");
  return wanted != nullptr ? std::atoi(wanted) : 25;
}

// What jobs of the consumers' memory go to. It outlives all loads.
struct memory {
  std::array<std::uint8_t, 4096> from{}, to{};
  std::array<std::uint64_t, 64> table{};
  unique_fd page{memfd_create("queue", MFD_CLOEXEC)};
};

template <class Args>
fence_ref try_give(device& d, std::uint32_t opcode, const Args& args) {
  const result<fence_ref> f = d.submit({.opcode = opcode, .args = bytes_of(args), .in_fences = {}});
  return f ? *f : fence_ref();
}

// One kind: what is done after the load, the n-th job, what moves the device on, and what jobs end with
// beside success and -ECANCELED.
struct kind {
  const char* name;
  std::function<void(device&, memory&)> begin = [](device&, memory&) {};
  std::function<fence_ref(device&, memory&, unsigned n)> job;
  std::function<void(device&, memory&)> move_on = [](device&, memory&) {};
  std::vector<int> errors = {};
  bool can_drain = true;  // its jobs end by themselves
};

const kind kinds[] = {
    {.name = "ring",
     .job =
         [](device& d, memory& m, unsigned n) {
           std::uint32_t flags = n % 5 == 0 ? UFENCE_RING_LOSE_INTERRUPT : 0;
           if (n % 97 == 96) flags |= UFENCE_RING_HANG;
           return try_give(d, UFENCE_RING_COPY,
                           ufence_ring_copy{m.to.data(), m.from.data(), m.to.size(), flags, 0});
         },
     .errors = {-ETIMEDOUT}},
    {.name = "evict",
     .job =
         [](device& d, memory& m, unsigned n) {
           const std::uint64_t id = n / 4 % 8;
           std::uint8_t* const bytes = m.to.data() + id * 64;
           switch (n % 4) {
             case 0: return try_give(d, UFENCE_EVICT_RESIDENT, ufence_evict_buffer{id, bytes, 64});
             case 3:
               if (n % 64 == 63) return try_give(d, UFENCE_EVICT_DETACH, ufence_evict_work{id, 0});
               [[fallthrough]];
             default: return try_give(d, UFENCE_EVICT_WORK, ufence_evict_work{id, n});
           }
         },
     .errors = {-EEXIST, -ENOENT},
     .can_drain = false},
    {.name = "tlb",
     .begin =
         [](device& d, memory& m) {
           const ufence_tlb_table table{m.table.data(), m.table.size()};
           EXPECT_EQ(try_give(d, UFENCE_TLB_TABLE, table)->error(), 0);
         },
     .job =
         [](device& d, memory&, unsigned n) {
           const std::uint32_t flags = n % 7 == 0 ? UFENCE_TLB_NO_MEMORY : 0;
           return try_give(d, UFENCE_TLB_FLUSH,
                           ufence_tlb_flush{n % 64, 4, n % 11 == 0 ? -EIO : 0, flags});
         },
     .errors = {-EIO}},
    {.name = "userq",
     .begin =
         [](device& d, memory& m) {
           const std::uint64_t none = 0;
           EXPECT_EQ(pwrite(m.page.get(), &none, sizeof none, 0), ssize_t{sizeof none});
           const ufence_userq_create queue{1, m.page.get(), -1, INT64_MAX};
           EXPECT_EQ(try_give(d, UFENCE_USERQ_CREATE, queue)->error(), 0);
         },
     .job = [](device& d, memory&,
               unsigned) { return try_give(d, UFENCE_USERQ_FENCE, ufence_userq_queue{1}); },
     .move_on =
         [](device&, memory& m) {
           // The queue's own work; often more than was emitted.
           std::uint64_t number = 0;
           if (pread(m.page.get(), &number, sizeof number, 0) != sizeof number) return;
           number = number > 400 ? 0 : number + 3;
           EXPECT_EQ(pwrite(m.page.get(), &number, sizeof number, 0), ssize_t{sizeof number});
         },
     .can_drain = false},
    {.name = "display",
     .job =
         [](device& d, memory& m, unsigned) {
           const auto* const pixels = reinterpret_cast<const std::uint32_t*>(m.table.data());
           return try_give(d, UFENCE_DISPLAY_FLIP, ufence_display_flip{pixels, 64, nullptr});
         }},
    {.name = "sw",
     .job = [](device& d, memory&,
               unsigned n) { return try_give(d, UFENCE_SW_POINT, ufence_sw_point{n % 3, n}); },
     .move_on =
         [](device& d, memory&) {
           for (std::uint64_t t = 0; t < 3; ++t) {
             if (!try_give(d, UFENCE_SW_ADVANCE, ufence_sw_point{t, 5})) return;
           }
         },
     .can_drain = false},
};

struct counting : callback {
  counting() : callback(&run) {}
  static void run(callback& self, fence&) noexcept { ++static_cast<counting&>(self).runs; }
  std::atomic<int> runs = 0;
};

class issuer_kinds : public driver_test, public testing::WithParamInterface<kind> {
 protected:
  // A consumer does to the fence what its number says.
  void consume(const fence_ref& f, unsigned n, const fence_ref& before) {
    switch (n % 8) {
      case 0: EXPECT_FALSE(f->wait(patience())); break;
      case 1: expect_names(*f); break;
      case 2: {
        const fence_ref both[] = {f, before ? before : f};
        const result<fence_ref> merged = merge(both);
        ASSERT_TRUE(merged.has_value());
        EXPECT_FALSE((*merged)->wait(patience()));
        break;
      }
      case 3: {
        if (n % 64 != 3) break;  // each costs descriptors
        const result<unique_fd> file = sync_file_create(f, "kind");
        ASSERT_TRUE(file.has_value());
        pollfd p{.fd = file->get(), .events = POLLIN, .revents = 0};
        EXPECT_EQ(::poll(&p, 1, 120'000), 1);
        break;
      }
      case 4: f->set_deadline(now_ns()); break;
      case 5: f->poll(); break;
      case 6: {
        counting node;
        const std::error_code failed = f->add_callback(node);
        if (failed) {
          EXPECT_EQ(failed, errno_code(ENOENT));
          break;
        }
        expect_names(*f);
        const bool is_removed = f->remove_callback(node).value();
        EXPECT_EQ(is_removed, node.runs == 0);
        break;
      }
      default: f->enable_signaling();
    }
  }
  static void expect_names(fence& f) {
    EXPECT_EQ(f.driver_name(), GetParam().name);
    EXPECT_FALSE(f.timeline_name().empty());
    EXPECT_FALSE(f.describe().empty());
  }
  void expect_end(const fence_ref& f) const {
    const int error = result_of(f);
    EXPECT_TRUE(error == 0 || error == -ECANCELED || std::ranges::count(GetParam().errors, error) == 1)
        << error;
    expect_names(*f);
  }
};

TEST_P(issuer_kinds, is_unloaded_in_the_middle_of_its_work) {
  const kind& k = GetParam();
  memory m;
  std::size_t in_all = 0;
  for (int round = 0; round < rounds(); ++round) {
    device_ref d = load(k.name);
    ASSERT_NE(d, nullptr);
    k.begin(*d, m);
    constexpr unsigned threads_count = 3, jobs_each = 120;
    std::latch is_under_load(threads_count);
    std::atomic<bool> is_over = false;
    std::vector<std::vector<fence_ref>> held(threads_count);
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < threads_count; ++t) {
      threads.emplace_back([&, t, d] {
        fence_ref before;
        unsigned n = 0;
        for (; n < jobs_each; ++n) {
          const fence_ref f = k.job(*d, m, t * jobs_each + n);
          if (!f) break;  // being unloaded
          held[t].push_back(f);
          if (n == 10) is_under_load.count_down();
          // The first ones stay in the queue, whatever comes.
          if (n > 10) consume(f, n + t, before);
          before = f;
        }
        if (n <= 10) is_under_load.count_down();
      });
    }
    std::thread mover([&, d] {
      while (!is_over) {
        k.move_on(*d, m);
        std::this_thread::yield();
      }
    });
    is_under_load.wait();
    unload(d, k.can_drain && round % 2 == 0 ? unload_policy::drain : unload_policy::cancel);
    is_over = true;
    mover.join();
    for (std::thread& t : threads) t.join();
    for (const std::vector<fence_ref>& fences : held) {
      EXPECT_GT(fences.size(), 10U);
      in_all += fences.size();
      for (const fence_ref& f : fences) expect_end(f);
    }
  }
  EXPECT_GT(in_all, 0U);
  EXPECT_THAT(reports_.texts(), testing::IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(, issuer_kinds, testing::ValuesIn(kinds),
                         [](const auto& which) { return std::string(which.param.name); });

// Its fences pin it: an unload is refused as long as one of them is held, and succeeds then.
class issuer_kinds_of_old : public driver_test {};

TEST_F(issuer_kinds_of_old, legacy_is_unloaded_as_soon_as_its_fences_are_gone) {
  for (int round = 0; round < rounds(); ++round) {
    device_ref d = load("legacy");
    std::atomic<bool> is_over = false;
    std::latch is_under_load(2);
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 2; ++t) {
      threads.emplace_back([&, t, d] {
        for (unsigned n = 0; n < 60; ++n) {
          const fence_ref f = give(d, UFENCE_LEGACY_WORK);
          if (n == 5) is_under_load.count_down();
          if (n % 3 == t) f->enable_signaling();
          if (n % 5 == 0) f->poll();
          const int error = result_of(f);
          EXPECT_TRUE(error == 0 || error == -EIO || error == -EBADF) << error;
          EXPECT_EQ(f->driver_name(), "legacy");
        }
      });
    }
    threads.emplace_back([&, d] {
      for (unsigned n = 0; !is_over; ++n) {
        if (n % 16 == 15) {
          EXPECT_EQ(run(d, UFENCE_LEGACY_RESET), 0);
        } else {
          EXPECT_EQ(run(d, UFENCE_LEGACY_COMPLETE, ufence_legacy_complete{3, n % 4 == 0 ? -EBADF : 0, 0}), 0);
        }
      }
    });
    is_under_load.wait();
    {
      const fence_ref held = give(d, UFENCE_LEGACY_WORK);
      const unload_options now{.policy = unload_policy::drain, .drain_deadline_ns = patience()};
      EXPECT_EQ(host_.unload(d, now)->state, unload_state::refused);
      result_of(held);
    }
    threads[0].join(), threads[1].join();
    is_over = true;
    threads[2].join();
    threads.clear();
    unload(d);
  }
}

}  // namespace
}  // namespace ufence::drivers
