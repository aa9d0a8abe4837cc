// Random programs over fences, arrays and chains, whose callbacks signal, poll, look, add and remove
// themselves; compared with a naive reference that follows the structure recursively, from the flags of
// the leaves alone.
//
// What is compared, whatever the order in which nested callbacks run:
//   - never too early: a container that says "signaled" is so for the reference, at any moment;
//   - never too late: when nothing runs, a container that is enabled, or is polled now, says what the
//     reference says; its error is one of a fence inside, and there if it has to be;
//   - a callback that was added runs once, or is removed; it is not lost, and never runs again;
//   - references: the test's main counts what is left.
//
// The interface is a template argument:
//   using handle = ...;                              a reference; empty when default-made
//   static constexpr bool nests;                     arrays may contain containers, chains contain chains
//   static constexpr bool enabled_poll_is_shallow;   the poll of an enabled array does not poll children
//   struct leaf { handle f; void signal(int error); };     and `ready`, `is_enabled`, see make_leaf()
//   static std::unique_ptr<leaf> make_leaf(bool signals_in_enable);
//   struct node { virtual void run() = 0; ... };     a callback's node
//   static int status(handle&); bool poll(handle&); int add(handle&, node&); bool remove(handle&, node&);
//   static void enable(handle&); void set_deadline(handle&); bool wait(handle&);
//   static handle array(handles, is_any); chain(previous, contained, point); merge(handles)
#pragma once

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace ufence::testing {

/// splitmix64: the same numbers everywhere.
class random_numbers {
 public:
  explicit random_numbers(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(next() % n); }
  bool one_in(std::size_t n) { return below(n) == 0; }

 private:
  std::uint64_t state_;
};

template <class Api>
class random_world {
 public:
  explicit random_world(std::uint64_t seed) : random_(seed) {}
  ~random_world() {
    for (auto& l : leaves_) l->signal(0);
    for (thing& t : things_) t.f = {};
  }
  random_world(const random_world&) = delete;
  random_world& operator=(const random_world&) = delete;

  /// One program. Fails the test where it differs from the reference.
  void run() {
    const std::size_t leaves = 2 + random_.below(5);
    for (std::size_t i = 0; i < leaves; ++i) add_leaf();
    const std::size_t containers = 1 + random_.below(7);
    for (std::size_t i = 0; i < containers; ++i) add_container();
    const std::size_t steps = 10 + random_.below(60);
    for (std::size_t i = 0; i < steps && !::testing::Test::HasFailure(); ++i) {
      act();
      check_at_rest();
    }
    for (std::size_t i = 0; i < leaves && !::testing::Test::HasFailure(); ++i) {
      signal(i, 0);
      check_at_rest();
    }
  }

 private:
  using handle = typename Api::handle;
  enum class kind : std::uint8_t { leaf, all, any, chain };

  // A fence that is known to the program, and what is inside.
  struct thing {
    kind what = kind::leaf;
    std::size_t leaf = 0;
    std::vector<std::size_t> inside = {};
    handle f = {};
    bool has_any = false;  // is an array that ends with the first, or has one inside
    bool was_enabled = false;
  };

  struct callback_node final : Api::node {
    random_world* world = nullptr;
    std::optional<std::size_t> on;  // queued, on this thing
    std::vector<std::uint64_t> script;
    void run() override { world->on_callback(*this); }
  };

  // --- The reference ---

  bool is_leaf_signaled(std::size_t i) { return Api::status(leaves_[i]->f) != 0; }

  // `counts_ready`: also what a poll would find.
  bool expected(std::size_t i, bool counts_ready) {
    std::vector<std::optional<bool>> known(things_.size());
    return expected(i, counts_ready, known);
  }
  bool expected(std::size_t i, bool counts_ready, std::vector<std::optional<bool>>& known) {
    if (known[i]) return *known[i];
    const thing& t = things_[i];
    bool is = t.what != kind::any;
    if (t.what == kind::leaf) {
      is = is_leaf_signaled(t.leaf) || (counts_ready && leaves_[t.leaf]->ready);
    }
    for (const std::size_t child : t.inside) {
      const bool child_is = expected(child, counts_ready, known);
      is = t.what == kind::any ? is || child_is : is && child_is;
    }
    known[i] = is;
    return is;
  }
  void collect_leaves(std::size_t i, std::set<std::size_t>& found, std::set<std::size_t>& visited) {
    if (!visited.insert(i).second) return;
    if (things_[i].what == kind::leaf) found.insert(things_[i].leaf);
    for (const std::size_t child : things_[i].inside) collect_leaves(child, found, visited);
  }

  // --- Comparing ---

  void check_not_early(std::size_t i, bool said, const char* how) {
    if (said && !expected(i, false)) ADD_FAILURE() << how << " says that " << i << " is signaled";
  }

  // Its error, if it has one, is that of a fence inside.
  void check_error(std::size_t i) {
    const int status = Api::status(things_[i].f);
    if (status >= 0) return;
    std::set<std::size_t> inside;
    std::set<std::size_t> visited;
    collect_leaves(i, inside, visited);
    for (const std::size_t leaf : inside) {
      if (Api::status(leaves_[leaf]->f) == status) return;
    }
    ADD_FAILURE() << i << " has the error " << status << " of nobody";
  }

  void check_at_rest() {
    for (std::size_t i = 0; i < things_.size(); ++i) {
      thing& t = things_[i];
      const bool was = Api::status(t.f) != 0;
      check_not_early(i, was, "a look");
      if (t.was_enabled && !was && expected(i, false)) {
        ADD_FAILURE() << i << " is enabled and complete, but not signaled";
      }
      check_error(i);
    }
    for (const auto& node : nodes_) {
      if (node->on && Api::status(things_[*node->on].f) != 0) {
        ADD_FAILURE() << "a callback on " << *node->on << ", which is signaled, was not called";
      }
    }
    // Polling changes what is enabled: only now and then.
    if (!random_.one_in(4)) return;
    const std::size_t i = random_.below(things_.size());
    const bool is = expected(i, true);
    const bool may_miss_ready = Api::enabled_poll_is_shallow && is != expected(i, false);
    const bool said = Api::poll(things_[i].f);
    check_not_early(i, said, "a poll");
    if (is && !said && !may_miss_ready) ADD_FAILURE() << "a poll misses that " << i << " is complete";
    const bool waited = Api::wait(things_[i].f);  // may signal what is ready
    if (expected(i, false) != waited) ADD_FAILURE() << "a wait for " << i << " is not right";
    things_[i].was_enabled = true;
  }

  // --- What a program does ---

  void add_leaf() {
    leaves_.push_back(Api::make_leaf(random_.one_in(5)));
    things_.push_back({.leaf = leaves_.size() - 1, .f = leaves_.back()->f});
  }

  std::size_t pick(bool any_kind) {
    for (;;) {
      const std::size_t i = random_.below(things_.size());
      if (any_kind || Api::nests || things_[i].what == kind::leaf) return i;
    }
  }
  // What a chain may contain.
  std::size_t pick_contained() {
    for (;;) {
      const std::size_t i = random_.below(things_.size());
      if (Api::nests || things_[i].what != kind::chain) return i;
    }
  }

  void add_container() {
    thing made;
    switch (random_.below(5)) {
      case 0:
      case 1:
      case 2: {
        made.what = random_.one_in(3) ? kind::any : kind::all;
        const std::vector<handle> children = pick_children(made);
        made.f = Api::array(children, made.what == kind::any);
        break;
      }
      case 3: {
        made.what = kind::chain;
        const std::size_t contained = pick_contained();
        made.inside.push_back(contained);
        handle previous;
        if (!random_.one_in(3)) {
          made.inside.push_back(pick(true));
          previous = things_[made.inside.back()].f;
        }
        made.f = Api::chain(previous, things_[contained].f, 1 + random_.below(4));
        break;
      }
      default: {
        // Of the leaves, whatever the containers around them are. Of what is signaled by one of its
        // fences, walks may leave out the others: which of them depends on what was unlinked before.
        made.what = kind::all;
        std::vector<handle> args;
        for (std::size_t n = 1 + random_.below(4); n != 0; --n) {
          std::size_t i = random_.below(things_.size());
          if (things_[i].has_any) i = random_.below(leaves_.size());
          made.inside.push_back(i);
          args.push_back(things_[i].f);
        }
        std::set<std::size_t> inside;
        std::set<std::size_t> visited;
        for (const std::size_t child : made.inside) collect_leaves(child, inside, visited);
        made.inside.assign(inside.begin(), inside.end());  // the first things are the leaves
        made.f = Api::merge(args);
      }
    }
    made.has_any = made.what == kind::any;
    for (const std::size_t i : made.inside) made.has_any = made.has_any || things_[i].has_any;
    things_.push_back(std::move(made));
  }
  std::vector<handle> pick_children(thing& of) {
    std::vector<handle> children;
    const std::size_t n = 1 + random_.below(4);
    for (std::size_t i = 0; i < n; ++i) {
      of.inside.push_back(pick(false));
      children.push_back(things_[of.inside.back()].f);
    }
    return children;
  }

  void signal(std::size_t leaf, int error) { leaves_[leaf]->signal(error); }

  void act() {
    switch (random_.below(9)) {
      case 0: add_container(); break;
      case 1:
      case 2:
      case 3: add_callback(); break;
      case 4: remove_callback(); break;
      case 5: enable(random_.below(things_.size())); break;
      case 6: Api::set_deadline(things_[random_.below(things_.size())].f); break;
      default: simple_act(random_.next()); break;
    }
  }

  // What a callback may do as well, told by a number.
  void simple_act(std::uint64_t what) {
    random_numbers choose(what);
    const std::size_t leaf = choose.below(leaves_.size());
    const std::size_t i = choose.below(things_.size());
    switch (choose.below(6)) {
      case 0:
      case 1: signal(leaf, choose.one_in(3) ? -EIO - static_cast<int>(leaf) : 0); break;
      case 2: leaves_[leaf]->complete(); break;
      case 3: {
        const bool said = Api::poll(things_[i].f);
        check_not_early(i, said, "a poll");
        break;
      }
      case 4: check_not_early(i, Api::status(things_[i].f) != 0, "a look"); break;
      default: enable(i); break;
    }
  }

  void enable(std::size_t i) {
    Api::enable(things_[i].f);
    things_[i].was_enabled = true;
  }

  callback_node* idle_node() {
    for (const auto& node : nodes_) {
      if (!node->on) return node.get();
    }
    if (nodes_.size() == 12) return nullptr;
    nodes_.push_back(std::make_unique<callback_node>());
    nodes_.back()->world = this;
    return nodes_.back().get();
  }

  void add_callback() {
    callback_node* node = idle_node();
    if (node == nullptr) return;
    const std::size_t i = random_.below(things_.size());
    node->script.clear();
    for (std::size_t n = random_.below(4); n != 0; --n) node->script.push_back(random_.next());
    node->on = i;
    const int refused = Api::add(things_[i].f, *node);
    if (refused == 0) {
      things_[i].was_enabled = true;
      return;
    }
    node->on.reset();
    if (refused != -ENOENT) ADD_FAILURE() << "adding a callback gives " << refused;
    if (Api::status(things_[i].f) == 0) ADD_FAILURE() << "-ENOENT of a pending fence, " << i;
  }

  void remove_callback() {
    if (nodes_.empty()) return;
    callback_node& node = *nodes_[random_.below(nodes_.size())];
    if (!node.on) return;
    const std::size_t on = *node.on;
    if (Api::remove(things_[on].f, node)) {
      node.on.reset();
    } else if (node.on) {
      ADD_FAILURE() << "a callback on " << on << " is neither removed nor called";
    }
  }

  void on_callback(callback_node& node) {
    if (!node.on) {
      ADD_FAILURE() << "a callback runs that is not queued";
      return;
    }
    check_not_early(*node.on, true, "a callback");
    if (Api::status(things_[*node.on].f) == 0) ADD_FAILURE() << "a callback of a pending fence";
    node.on.reset();
    // The node is free, and may be used by what follows.
    const std::vector<std::uint64_t> script = std::move(node.script);
    node.script.clear();
    for (const std::uint64_t what : script) {
      switch (what % 8) {
        case 0: add_callback(); break;
        case 1: remove_callback(); break;
        default: simple_act(what / 8); break;
      }
    }
  }

  random_numbers random_;
  std::deque<std::unique_ptr<typename Api::leaf>> leaves_;
  std::deque<thing> things_;
  std::deque<std::unique_ptr<callback_node>> nodes_;
};

/// The programs of `count` seeds from UFENCE_RANDOM_SEED (1) on; or, with UFENCE_RANDOM_SECONDS, as many
/// as that time allows.
template <class World>
void run_worlds(std::uint64_t count) {
  const auto number_of = [](const char* name, std::uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
  };
  const std::uint64_t first = number_of("UFENCE_RANDOM_SEED", 1);
  const std::uint64_t seconds = number_of("UFENCE_RANDOM_SECONDS", 0);
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  for (std::uint64_t seed = first;; ++seed) {
    const bool goes_on =
        seconds != 0 ? std::chrono::steady_clock::now() < until : seed - first < count;
    if (!goes_on) return;
    World(seed).run();
    if (::testing::Test::HasFailure()) {
      FAIL() << "again with UFENCE_RANDOM_SEED=" << seed << " UFENCE_RANDOM_SECONDS=0";
    }
  }
}

template <class Api>
void run_random_worlds(std::uint64_t count) {
  run_worlds<random_world<Api>>(count);
}

}  // namespace ufence::testing
