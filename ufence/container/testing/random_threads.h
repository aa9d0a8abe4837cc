// Random programs of several threads over fences, arrays and chains. What is compared holds however the
// threads run beside each other:
//   - each callback that was added runs once, or is removed, and never both;
//   - a callback that was not removed has run when remove() returns; it finds its fence signaled;
//   - no wait is lost: a thread waits for each fence, and returns when all leaves are signaled, or never;
//   - then every fence is signaled;
//   - references: the test's main counts what is left.
//
// The interface is the template argument of random_world.h, with
//   static std::unique_ptr<leaf> make_plain_leaf();   whose fence has no ops, if there are such
//   static void sleep(handle&);                       waits without a deadline
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <memory>
#include <thread>
#include <vector>

#include "ufence/container/testing/random_world.h"

namespace ufence::testing {

template <class Api>
class random_threads {
 public:
  explicit random_threads(std::uint64_t seed) : random_(seed), seed_(seed) {
    const std::size_t leaves = 2 + random_.below(4);
    for (std::size_t i = 0; i < leaves; ++i) add_leaf();
    const std::size_t containers = 1 + random_.below(4);
    for (std::size_t i = 0; i < containers; ++i) add_container(leaves);
  }

  void run() {
    std::thread waiter([this] {
      for (const handle& f : fences_) Api::sleep(f);
    });
    std::vector<std::thread> actors;
    for (std::size_t i = 0; i < actor_count; ++i) {
      actors.emplace_back([this, i] { act(i); });
    }
    for (std::thread& actor : actors) actor.join();
    for (right& r : rights_) signal(r, 0);
    waiter.join();
    for (const handle& f : fences_) {
      Api::enable(f);
      EXPECT_TRUE(Api::poll(f));
      EXPECT_NE(Api::status(f), 0);
    }
    for (const auto& nodes : nodes_) {
      for (const auto& node : nodes) EXPECT_EQ(node->runs, node->added - node->removed);
    }
  }

 private:
  using handle = typename Api::handle;
  static constexpr std::size_t actor_count = 3;
  static constexpr std::size_t nodes_of_each = 4;

  // The right to signal a leaf: its first user's.
  struct right {
    std::unique_ptr<typename Api::leaf> of;
    std::atomic<bool> is_used = false;
  };
  struct callback_node final : Api::node {
    void run() override {
      if (Api::status(*on) == 0) early = true;
      ++runs;
    }
    const handle* on = nullptr;  // set while it is not queued
    std::atomic<int> runs = 0;
    std::atomic<bool> early = false;
    int added = 0;  // its thread's, as removed
    int removed = 0;
    bool is_added = false;
  };

  void add_leaf() {
    right& r = rights_.emplace_back();
    r.of = random_.one_in(2) ? Api::make_plain_leaf() : Api::make_leaf(false);
    fences_.push_back(r.of->f);
  }

  void add_container(std::size_t leaves) {
    const handle& one = fences_[random_.below(leaves)];
    if (random_.one_in(3)) {
      fences_.push_back(Api::chain(last_node_, one, fences_.size()));
      last_node_ = fences_.back();
      return;
    }
    const std::array children{one, fences_[random_.below(leaves)]};
    fences_.push_back(Api::array(children, random_.one_in(2)));
  }

  void signal(right& r, int error) {
    if (!r.is_used.exchange(true)) r.of->signal(error);
  }

  void act(std::size_t thread) {
    random_numbers random(seed_ * actor_count + thread);
    for (auto& node : nodes_[thread]) node = std::make_unique<callback_node>();
    const std::size_t steps = 5 + random.below(25);
    for (std::size_t i = 0; i < steps; ++i) {
      const handle& f = fences_[random.below(fences_.size())];
      callback_node& node = *nodes_[thread][random.below(nodes_of_each)];
      switch (random.below(8)) {
        case 0: signal(rights_[random.below(rights_.size())], random.one_in(2) ? -EIO : 0); break;
        case 1: Api::poll(f); break;
        case 2: Api::enable(f); break;
        case 3: Api::set_deadline(f); break;
        case 4: Api::wait(f); break;
        case 5: remove(node); break;
        default: add(f, node); break;
      }
    }
  }

  void add(const handle& f, callback_node& node) {
    remove(node);
    node.on = &f;
    const int refused = Api::add(f, node);
    node.is_added = refused == 0;
    if (node.is_added) {
      ++node.added;
    } else {
      EXPECT_EQ(refused, -ENOENT);
      EXPECT_NE(Api::status(f), 0);
    }
  }

  void remove(callback_node& node) {
    if (!node.is_added) return;
    if (Api::remove(*node.on, node)) ++node.removed;
    EXPECT_EQ(node.runs, node.added - node.removed);
    EXPECT_FALSE(node.early) << "a callback of a pending fence";
    node.is_added = false;
  }

  random_numbers random_;
  const std::uint64_t seed_;
  std::deque<right> rights_;
  std::deque<handle> fences_;
  handle last_node_{};
  std::array<std::array<std::unique_ptr<callback_node>, nodes_of_each>, actor_count> nodes_;
};

}  // namespace ufence::testing
