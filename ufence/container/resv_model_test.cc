// Reservation objects under random commands, against a reference in plain lists.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <set>
#include <utility>
#include <vector>

#include "ufence/container/array.h"
#include "ufence/container/container_test_support.h"
#include "ufence/container/resv.h"
#include "ufence/container/resv_locks.h"
#include "ufence/rcu/rcu.h"

namespace ufence {
namespace {

constexpr std::array all_usages{resv_usage::kernel, resv_usage::write, resv_usage::read,
                                resv_usage::bookkeep};

using entry = std::pair<fence*, resv_usage>;
using entries = std::multiset<entry>;

struct naive_resv {
  std::vector<entry> list;
  std::uint32_t reserved = 0;

  void add(fence* f, resv_usage usage) {
    std::erase_if(list, [&](const entry& e) {
      return e.first->context() == f->context() && e.second >= usage &&
             f->seqno() >= e.first->seqno();
    });
    list.emplace_back(f, usage);
  }
  void replace(std::uint64_t context, fence* f, resv_usage usage) {
    const auto removed =
        std::erase_if(list, [&](const entry& e) { return e.first->context() == context; });
    if (removed != 0) list.emplace_back(f, usage);
  }
  [[nodiscard]] bool has_only_signaled(std::uint64_t context) const {
    bool is_any = false;
    for (const entry& e : list) {
      if (e.first->context() != context) continue;
      if (!e.first->is_signaled()) return false;
      is_any = true;
    }
    return is_any;
  }
  [[nodiscard]] entries pending(resv_usage up_to) const {
    entries found;
    for (const entry& e : list) {
      if (e.second <= up_to && !e.first->is_signaled()) found.insert(e);
    }
    return found;
  }
};

class world {
 public:
  world() {
    const std::uint64_t first = fence::allocate_contexts(contexts);
    for (std::uint64_t i = 0; i < 30; ++i) {
      // One context, one order: no two have the same seqno.
      fences_.push_back(make_fence(first + *rc::gen::inRange<std::uint64_t>(0, contexts), i));
    }
  }
  ~world() {
    for (resv& r : real_) {
      if (r.was_locked()) r.unlock();
    }
    for (new_fence& f : fences_) {
      if (f.signal) f.signal.signal();
    }
  }
  world(const world&) = delete;
  world& operator=(const world&) = delete;

  void step() {
    const auto i = *rc::gen::inRange<std::size_t>(0, real_.size());
    resv& r = real_[i];
    naive_resv& n = naive_[i];
    new_fence& f = fences_[*rc::gen::inRange<std::size_t>(0, fences_.size())];
    const resv_usage usage = *rc::gen::elementOf(all_usages);
    if (!r.was_locked()) RC_ASSERT(!r.lock());
    switch (*rc::gen::inRange(0, 9)) {
      case 0: {
        const auto places = *rc::gen::inRange<std::uint32_t>(1, 12);
        RC_ASSERT(!r.reserve(places));
        n.reserved = std::max(n.reserved, places);
        break;
      }
      case 1:
        r.unlock();
        n.reserved = 0;
        break;
      case 2:
        if (f.signal) f.signal.signal();
        break;
      case 3: {
        const std::uint64_t context = f.fence->context();
        // Fences that are signaled are there, or not: nobody can tell what they are replaced with.
        if (n.has_only_signaled(context)) break;
        const fence_ref& by = fences_[*rc::gen::inRange<std::size_t>(0, fences_.size())].fence;
        RC_ASSERT(!r.replace(context, by, usage));
        n.replace(context, by.get(), usage);
        break;
      }
      case 4:
        RC_ASSERT(!r.copy_from(real_[1 - i]));
        n = {.list = naive_[1 - i].list};
        break;
      default: {
        const std::error_code failed = r.add(f.fence, usage);
        RC_ASSERT(failed == errno_code(n.reserved == 0 ? ENOSPC : 0));
        if (failed) break;
        --n.reserved;
        n.add(f.fence.get(), usage);
      }
    }
    for (std::size_t at = 0; at < real_.size(); ++at) check(real_[at], naive_[at]);
  }

 private:
  static constexpr std::uint64_t contexts = 5;

  static void check(const resv& r, const naive_resv& n) {
    for (const resv_usage up_to : all_usages) {
      const entries expected = n.pending(up_to);
      RC_ASSERT(r.test_signaled(up_to) == expected.empty());
      RC_ASSERT(r.wait(up_to, no_wait) == errno_code(expected.empty() ? 0 : ETIME));
      entries unlocked;
      resv_unlocked_cursor all(r, up_to);
      while (fence* f = all.next()) unlocked.emplace(f, all.usage());
      RC_ASSERT(unlocked == expected);
      entries under_rcu;
      {
        const rcu::read_section section;
        resv_rcu_cursor cursor(r, up_to);
        while (fence* f = cursor.next()) under_rcu.emplace(f, cursor.usage());
      }
      RC_ASSERT(under_rcu == expected);
      std::multiset<fence*> fences;
      for (const entry& e : expected) fences.insert(e.first);
      const fence_list got = *r.get_fences(up_to);
      std::multiset<fence*> got_fences;
      for (const fence_ref& f : got) got_fences.insert(f.get());
      RC_ASSERT(got_fences == fences);
      const std::vector<fence*> leaves = leaves_of(*r.singleton(up_to));
      RC_ASSERT(std::multiset<fence*>(leaves.begin(), leaves.end()) == fences);
    }
    if (!r.was_locked()) return;
    entries locked;
    resv_locked_cursor all(r, resv_usage::bookkeep);
    while (fence* f = all.next()) {
      if (!f->is_signaled()) locked.emplace(f, all.usage());
    }
    RC_ASSERT(locked == n.pending(resv_usage::bookkeep));
  }

  std::vector<new_fence> fences_;
  std::array<resv, 2> real_;
  std::array<naive_resv, 2> naive_;
};

RC_GTEST_PROP(resv_model, agrees_with_a_naive_reference, ()) {
  world w;
  const int steps = *rc::gen::inRange(1, 80);
  for (int i = 0; i < steps; ++i) w.step();
}

}  // namespace
}  // namespace ufence
